//! The manual: the pages of `docs/`, for `fernpost manual` and, as HTML, at `/manual` of the operator's listener.
//!
//! It needs no token, because it is the same for all gateways of a version. The pages need no script: their policy permits none.

mod html_body;
mod html_page;
mod manual_topics;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, web};

use crate::openapi::api_operation::{ApiOperation, plain_text};
use crate::openapi::path_parameters::PathParameter;
use crate::openapi::refusals::EVERY;
use crate::openapi::routes::{TrailingSlash, resources};

pub use manual_topics::{ManualTopic, TOPICS};

/// Media type of the pages.
const HTML: &str = "text/html; charset=utf-8";

/// Media type of the style sheet.
const CSS: &str = "text/css; charset=utf-8";

const STYLE: &str = include_str!("manual.css");

/// Headers of every answer: no script, nothing inline, nothing from elsewhere.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The parameter of a path that names a page.
pub(super) const TOPIC_PARAMETER: PathParameter = PathParameter {
    name: "topic",
    description: "Name of a page of the manual, as `/manual` lists them.",
    example: "start",
    pattern: "",
};

/// Adds the routes of the manual.
pub fn configure(config: &mut web::ServiceConfig) {
    for resource in resources(&operations(), TrailingSlash::Ignored) {
        config.service(resource);
    }
}

/// Returns the operations. The style sheet is before the pages, because its path has the form of theirs.
pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::get("/manual", "List the pages of the manual.", |route| route.to(list))
            .open()
            .answers_in(200, "A page for people.", vec![("text/html", plain_text)])
            .refuses(&[EVERY]),
        ApiOperation::get("/manual/manual.css", "Read the style of the manual's pages.", |route| route.to(style))
            .open()
            .answers_in(200, "The style sheet.", vec![("text/css", plain_text)])
            .refuses(&[EVERY]),
        ApiOperation::get("/manual/{topic}", "Read a page of the manual.", |route| route.to(topic))
            .open()
            .answers_in(200, "A page for people.", vec![("text/html", plain_text)])
            .answers_in(404, "There is no page of this name; the list of all pages.", vec![("text/html", plain_text)])
            .refuses(&[EVERY]),
    ]
}

fn answer(status: StatusCode, media_type: &'static str, body: impl Into<String>) -> HttpResponse {
    let mut answer = HttpResponse::build(status).content_type(media_type).body(body.into());
    for (name, value) in HEADERS {
        answer.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

async fn list() -> HttpResponse {
    answer(StatusCode::OK, HTML, html_page::list())
}

async fn style() -> HttpResponse {
    answer(StatusCode::OK, CSS, STYLE)
}

async fn topic(name: web::Path<String>) -> HttpResponse {
    match ManualTopic::named(&name) {
        Some(topic) => answer(StatusCode::OK, HTML, html_page::of(topic)),
        None => answer(StatusCode::NOT_FOUND, HTML, html_page::missing()),
    }
}
