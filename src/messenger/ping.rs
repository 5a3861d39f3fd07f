//! `POST /v1/ping`: the messenger says that it is back.

use actix_web::{HttpResponse, web};

use crate::messenger::MessengerApi;

/// Ends the delay of push mode. Without push mode there is nothing to do.
pub(super) async fn post(api: web::Data<MessengerApi>) -> HttpResponse {
    if let Some(push) = &api.push {
        push.ping();
    }
    HttpResponse::NoContent().finish()
}
