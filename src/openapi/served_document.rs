//! `GET /openapi.json`: the document of the API that a listener serves. It needs no token, because it is the same for all gateways
//! of a version.

use std::sync::LazyLock;

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::Value;

use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::EVERY;
use crate::openapi::routes::{TrailingSlash, resources};

/// The document of a listener. It is made when it is first asked for.
#[derive(Debug, Clone, Copy)]
pub struct ServedDocument(pub &'static LazyLock<Bytes>);

/// Returns the operation that serves the document.
pub fn operation() -> ApiOperation {
    ApiOperation::get("/openapi.json", "This document.", |route| route.to(get))
        .open()
        .answers::<Value>(200, "The document, in OpenAPI 3.1.")
        .refuses(&[EVERY])
}

/// Adds its route.
pub fn configure(config: &mut web::ServiceConfig, document: ServedDocument) {
    config.app_data(web::Data::new(document));
    for resource in resources(&[operation()], TrailingSlash::Counts) {
        config.service(resource);
    }
}

async fn get(document: web::Data<ServedDocument>) -> HttpResponse {
    let ServedDocument(text) = **document;
    HttpResponse::Ok().content_type(ContentType::json()).body(Bytes::clone(text))
}
