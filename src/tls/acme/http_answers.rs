//! The answers to challenges of "http-01": texts that the authority fetches by plain HTTP.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use parking_lot::Mutex;

/// The answers of the order under way, by the token of the challenge.
#[derive(Debug, Clone, Default)]
pub struct HttpAnswers(Arc<Mutex<HashMap<String, String>>>);

impl HttpAnswers {
    /// Publishes the answer to a challenge.
    pub(super) fn publish(&self, token: &str, answer: &str) {
        self.0.lock().insert(token.to_owned(), answer.to_owned());
    }

    /// Removes all answers, because an order has ended.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Returns a function that adds the route of the answers to a listener. Every other path is 404.
    pub fn routes(&self) -> impl Fn(&mut ServiceConfig) + Clone + Send + use<> {
        let answers = self.clone();
        move |config| {
            config.app_data(Data::new(answers.clone()));
            config.route("/.well-known/acme-challenge/{token}", web::get().to(answer));
        }
    }
}

async fn answer(answers: Data<HttpAnswers>, token: web::Path<String>) -> impl Responder {
    match answers.0.lock().get(token.as_str()) {
        Some(answer) => HttpResponse::Ok().content_type(ContentType::octet_stream()).body(answer.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service, read_body};

    use super::*;

    #[actix_web::test]
    async fn answers_end_with_their_order() {
        let answers = HttpAnswers::default();
        let app = init_service(App::new().configure(answers.routes())).await;
        let get = async |path: &str| {
            let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
            (response.status().as_u16(), read_body(response).await)
        };
        let path = "/.well-known/acme-challenge/one";
        assert_eq!(get(path).await.0, 404);
        answers.publish("one", "one.thumbprint");
        assert_eq!(get(path).await, (200, "one.thumbprint".into()));
        assert_eq!(get("/.well-known/acme-challenge/two").await.0, 404);
        assert_eq!(get("/").await.0, 404);
        answers.clear();
        assert_eq!(get(path).await.0, 404);
    }
}
