//! Calls with a direct route: they answer as their routes in the table do, behind the same token, and while the gateway drains.

use std::rc::Rc;

use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse};
use fernpost::http::bearer::BearerToken;
use fernpost::http::drain::DrainSignal;
use fernpost::http::error_middleware::ErrorMiddleware;
use fernpost::http::error_middleware::direct_routes::DirectTable;
use fernpost::messenger::direct_calls::DirectCalls;

use crate::fixture::MessengerFixture;

#[actix_web::test]
async fn direct_route_answers_like_table() {
    let red = MessengerFixture::start();
    red.call(Method::PUT, "/v1/contexts/c", r#"{"servers":["blue"]}"#).await;
    let message = r#"{"context":"c","type":"t","content":{}}"#;
    let large = format!(r#"{{"to":["blue"],"strong":[{{"a":"{}"}}]}}"#, "x".repeat(1 << 20));
    for (method, path, body) in [
        (Method::PUT, "/v1/updates/u", r#"{"to":["blue"],"strong":[{"a":1}]}"#),
        (Method::PUT, "/v1/updates/u", r#"{"to":["blue"],"strong":[{"a":2}]}"#),
        (Method::PUT, "/v1/updates/v", r#"{"to":["blue"],"strong":[[]]}"#),
        (Method::PUT, "/v1/updates/v", r#"{"to":["grey"],"strong":[{}]}"#),
        (Method::PUT, "/v1/updates/v", ""),
        (Method::PUT, "/v1/updates/v", &large),
        (Method::PUT, "/v1/messages/m", message),
        (Method::PUT, "/v1/messages/n", r#"{"context":"d","type":"t","content":{}}"#),
        (Method::POST, "/v1/messages", r#"{"messages":[{"id":"m","context":"c","type":"t","content":{}},{}]}"#),
        (Method::POST, "/v1/messages", "[]"),
        (Method::GET, "/v1/events?limit=5", ""),
        (Method::GET, "/v1/events?after=900", ""),
        (Method::GET, "/v1/events?afetr=1", ""),
        (Method::POST, "/v1/events", ""),
        (Method::GET, "/v1/updates/u", ""),
    ] {
        let direct = red.call(method.clone(), path, body.to_owned()).await;
        // The table ignores a slash at the end, and the direct routes do not know such a path.
        let (route, query) = path.split_once('?').map_or((path, String::new()), |(r, q)| (r, format!("?{q}")));
        let by_table = red.call(method.clone(), &format!("{route}/{query}"), body.to_owned()).await;
        assert_eq!(direct, by_table, "{method} {path} {}", &body[..body.len().min(80)]);
    }
}

#[actix_web::test]
async fn direct_route_needs_token() {
    let red = MessengerFixture::start();
    let drain = DrainSignal::default();
    let gate = drain.door(|_, _| Some(HttpResponse::ServiceUnavailable().finish()));
    let token = BearerToken::new("messenger.token", Some("sesame"));
    let direct = DirectTable(Rc::new(DirectCalls::new(red.api(), token, gate)));
    let app = init_service(App::new().wrap(ErrorMiddleware).app_data(direct)).await;
    let asked = |header: Option<&'static str>| {
        let request = TestRequest::get().uri("/v1/events");
        header.into_iter().fold(request, |request, header| request.insert_header((AUTHORIZATION, header))).to_request()
    };
    for refused in [None, Some("Bearer salt")] {
        let answer = call_service(&app, asked(refused)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers().get(WWW_AUTHENTICATE).map(|value| value.as_bytes()), Some(&b"Bearer"[..]));
    }
    assert_eq!(call_service(&app, asked(Some("Bearer sesame"))).await.status(), StatusCode::OK);
    drain.close();
    assert_eq!(call_service(&app, asked(Some("Bearer sesame"))).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(call_service(&app, asked(None)).await.status(), StatusCode::UNAUTHORIZED, "the token comes first");
    drain.idle().await;
}
