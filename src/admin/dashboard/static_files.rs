//! The style sheet and the icon, which are part of the binary.

use actix_web::HttpResponse;

/// Colours by scheme, which the pages of the demo share, and the style of these pages.
const STYLE: &str = concat!(include_str!("files/palette.css"), include_str!("files/dashboard.css"));

const ICON: &str = include_str!("files/icon.svg");

/// Returns the style sheet.
pub(super) async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE)
}

/// Returns the icon.
pub(super) async fn icon() -> HttpResponse {
    HttpResponse::Ok().content_type("image/svg+xml").body(ICON)
}
