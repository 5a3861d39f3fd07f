//! Parts of every page: its head, its times and states as texts, and the page of a refusal.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use actors::model::Millis;
use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::api::peers::PeerDetails;
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;
use crate::runtime::readable_text::span;

/// Number of rows on a page.
pub(super) const ROWS: u32 = 100;

/// Content type of the pages.
const HTML: &str = "text/html; charset=utf-8";

/// Characters that are not encoded in a path, beside letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a text for one segment of a path, or for a value in a query.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// The head of a page.
pub(super) struct PageHead {
    /// Name of the gateway.
    pub(super) server: String,
    /// Path of the section that the page belongs to.
    pub(super) section: &'static str,
    /// Token of the forms.
    pub(super) form_token: String,
    /// True if there is a session to end.
    pub(super) has_session: bool,
    /// True if the browser loads the page again by itself. A page with a form does not, because it would lose what somebody types.
    pub(super) refreshes: bool,
}

impl PageHead {
    /// Returns the head of a page of this section.
    pub(super) fn new(site: &DashboardSite, visitor: &DashboardVisitor, section: &'static str) -> Self {
        Self {
            server: site.api.gateway.ports().us.to_string(),
            section,
            form_token: visitor.form_token.clone(),
            has_session: visitor.session.is_some(),
            refreshes: false,
        }
    }

    /// Makes the browser load the page again.
    #[must_use]
    pub(super) fn refreshing(self) -> Self {
        Self { refreshes: true, ..self }
    }

    /// Returns the sections of the dashboard: path, name, and true for that of this page.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let sections = [
            ("/", "Overview"),
            ("/peers", "Peers"),
            ("/flow", "Flow"),
            ("/quarantine", "Quarantine"),
            ("/contexts", "Contexts"),
            ("/trace", "Trace"),
        ];
        sections.into_iter().map(|(path, name)| (path, name, path == self.section))
    }
}

/// Returns the answer with a page.
pub(super) fn page(page: &impl Template) -> Result<HttpResponse, PageRefusal> {
    page_with(StatusCode::OK, page)
}

/// Returns the answer with a page and a status.
pub(super) fn page_with(status: StatusCode, page: &impl Template) -> Result<HttpResponse, PageRefusal> {
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "a page of the dashboard cannot be written");
        PageRefusal::of(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written; see the log of the gateway")
    })?;
    Ok(HttpResponse::build(status).content_type(HTML).body(text))
}

/// A time on a page: exact for programs, and relative for people. One that is unset is shown as nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Template)]
#[template(
    source = r#"{% if !exact.is_empty() %}<time datetime="{{ exact }}" title="{{ exact }}">{{ relative }}</time>{% endif %}"#,
    ext = "html"
)]
pub(super) struct ShownTime {
    /// RFC 3339.
    pub(super) exact: String,
    /// Such as `3m 5s ago` or `in 10s`.
    pub(super) relative: String,
}

impl ShownTime {
    /// Returns the time with its distance from now. A time that is unset is written as the begin of 1970.
    pub(super) fn of(time: Millis, now: Millis) -> Self {
        let relative = match (time.0, now.0) {
            (0, _) => return Self::default(),
            (time, now) if time > now => format!("in {}", span(Duration::from_millis(time - now))),
            (time, now) => format!("{} ago", span(Duration::from_millis(now - time))),
        };
        Self { exact: rfc3339(time), relative }
    }

    /// Returns the same for a time of the API.
    pub(super) fn read(text: &str, now: Millis) -> Self {
        let since = humantime::parse_rfc3339(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        since.map(|since| Self::of(Millis(since.as_millis() as u64), now)).unwrap_or_default()
    }

    /// Returns the same for a time that may be absent.
    pub(super) fn read_some(text: Option<&str>, now: Millis) -> Self {
        text.map(|text| Self::read(text, now)).unwrap_or_default()
    }
}

/// The state of a peer or of a delivery on a page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(source = r#"<span class="state {{ class }}">{{ name }}</span>"#, ext = "html")]
pub(super) struct ShownState {
    /// State for people.
    pub(super) name: String,
    /// Class of the style: `good`, `warn` or `bad`.
    pub(super) class: &'static str,
}

impl ShownState {
    /// Returns the state of the API.
    pub(super) fn of(state: &str) -> Self {
        let class = match state {
            "idle" | "sending" | "acknowledged" | "delivered" => "good",
            "suspended" | "refused" | "rejected" | "parked" | "expired" => "bad",
            _ => "warn",
        };
        Self { name: state.replace('_', " "), class }
    }

    /// Returns the state of a peer, with the cause of a suspension.
    pub(super) fn of_peer(peer: &PeerDetails) -> Self {
        let state = Self::of(&peer.state);
        match &peer.reason {
            Some(reason) => Self { name: format!("{}: {}", state.name, reason.replace('_', " ")), ..state },
            None => state,
        }
    }
}

/// Returns whether an attempt with this result has failed: results are words for people, and those of a success begin alike.
pub(super) fn is_failed_attempt(result: &str) -> bool {
    !result.starts_with("acknowledged")
}

/// A part of a text for people in which commands stand between backquotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextPart {
    /// True for a command.
    pub(super) is_code: bool,
    /// The part, without the backquotes.
    pub(super) text: String,
}

impl TextPart {
    /// Splits a text.
    pub(super) fn split(text: &str) -> Vec<Self> {
        let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
        parts.map(|(at, part)| Self { is_code: at % 2 == 1, text: part.to_owned() }).collect()
    }
}

/// A request that is refused by a page.
#[derive(Debug)]
pub(super) struct PageRefusal {
    status: StatusCode,
    why: String,
}

#[derive(Template)]
#[template(path = "refusal.html", config = "src/admin/dashboard/pages/askama.toml")]
struct RefusalPage<'a> {
    title: &'a str,
    why: &'a str,
}

impl PageRefusal {
    /// Returns a refusal with this status.
    pub(super) fn of(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

impl<E: Into<ApiError>> From<E> for PageRefusal {
    fn from(error: E) -> Self {
        let error: ApiError = error.into();
        Self { status: error.status(), why: error.to_string() }
    }
}

impl fmt::Display for PageRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl ResponseError for PageRefusal {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let title = match self.status.as_u16() {
            404 => "Not found",
            403 => "Refused",
            status if status < 500 => "This cannot be done",
            _ => "The gateway could not answer",
        };
        let text = RefusalPage { title, why: &self.why }.render().unwrap_or_else(|_| title.to_owned());
        HttpResponse::build(self.status).content_type(HTML).body(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_to_now() {
        let now = Millis(1_000_000);
        let relative = |time: u64| ShownTime::of(Millis(time), now).relative;
        assert_eq!([0, 935_000, 1_010_000].map(relative), ["", "1m 5s ago", "in 10s"]);
        let read = ShownTime::read("1970-01-01T00:16:30.000Z", now);
        let expected = r#"<time datetime="1970-01-01T00:16:30.000Z" title="1970-01-01T00:16:30.000Z">10s ago</time>"#;
        assert_eq!(read.to_string(), expected);
        assert_eq!(ShownTime::read_some(Some("<b>"), now).to_string(), "");
    }

    #[test]
    fn refusal_page_escapes_its_reason() {
        let refusal = PageRefusal::from(ApiError::not_found("UNKNOWN_ID", "there is no <b>\"x\"</b>"));
        assert_eq!(refusal.error_response().status(), StatusCode::NOT_FOUND);
        let page = RefusalPage { title: "Not found", why: &refusal.why }.render().expect("a page");
        assert!(page.contains("there is no &#60;b&#62;&#34;x&#34;&#60;/b&#62;"), "{page}");
    }
}
