//! `GET /v1/events`: the feed from a position on, waiting for what is not there yet.

use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::Position;
use actors::ports::{Archive, FeedPage};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::MessengerApi;
use super::answer::Refused;
use super::event::render;

/// Events in a page where the messenger does not say.
const LIMIT_DEFAULT: u64 = 100;
/// Events in a page at most.
const LIMIT_MAX: u64 = 1_000;
/// Bytes of events in a page; one larger event is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;
/// The longest wait, in seconds.
const WAIT_MAX: u64 = 60;

/// Answer a read.
pub(super) async fn get(api: web::Data<MessengerApi>, request: HttpRequest) -> Result<HttpResponse, Refused> {
    let ask = Ask::parse(request.query_string())?;
    let archive = &*api.gateway.ports().archive;
    let after = ask.after.unwrap_or_else(|| archive.feed_bounds().borrow().acked);
    let body = match page(archive, after, ask, api.stopping.clone()).await? {
        FeedPage::Gone { oldest } => return Err(Refused::gone(oldest)),
        FeedPage::Entries(entries) => render(after, &entries),
    };
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

/// What is asked for, as it stands in the query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    after: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
}

/// What is asked for, within its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ask {
    after: Option<Position>,
    limit: u32,
    wait: Duration,
}

impl Ask {
    fn parse(query: &str) -> Result<Self, Refused> {
        let bad = |words: String| Refused::malformed("BAD_QUERY", words);
        let web::Query(query) = web::Query::<Query>::from_query(query).map_err(|error| bad(error.to_string()))?;
        let number = |name: &str, text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // A number that no counter reaches is as good as the largest.
            is_number
                .then(|| text.parse().unwrap_or(u64::MAX))
                .ok_or_else(|| bad(format!("{name} is not a number: {text:?}")))
        };
        let after = query.after.map(|text| number("after", &text)).transpose()?.map(Position);
        let limit = query.limit.map_or(Ok(LIMIT_DEFAULT), |text| number("limit", &text))?.min(LIMIT_MAX);
        if limit == 0 {
            return Err(bad("limit is at least 1".into()));
        }
        let wait = query.wait.map_or(Ok(0), |text| number("wait", &text))?.min(WAIT_MAX);
        Ok(Self { after, limit: limit as u32, wait: Duration::from_secs(wait) })
    }
}

/// The next page; empty when nothing came in time, or the gateway stops.
async fn page(
    archive: &dyn Archive,
    after: Position,
    ask: Ask,
    mut stopping: watch::Receiver<bool>,
) -> Result<FeedPage, Refused> {
    let nothing = FeedPage::Entries(Vec::new());
    let until = Instant::now() + ask.wait;
    // Held before the first look: what is fed between the look and the wait ends the wait.
    let mut bounds = archive.feed_bounds();
    loop {
        if bounds.borrow_and_update().tail > after {
            let page = archive.feed_after(after, ask.limit, PAGE_BYTES).await?;
            if page != nothing {
                return Ok(page);
            }
        }
        tokio::select! {
            // In this order: a read without a wait never registers one.
            biased;
            () = tokio::time::sleep_until(until) => return Ok(nothing),
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(nothing),
            changed = bounds.changed() => if changed.is_err() { return Ok(nothing) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(after: Option<u64>, limit: u32, wait: u64) -> Result<Ask, Refused> {
        Ok(Ask { after: after.map(Position), limit, wait: Duration::from_secs(wait) })
    }

    #[test]
    fn large_values_are_clamped_and_bad_ones_refused() {
        assert_eq!(Ask::parse(""), ask(None, 100, 0));
        assert_eq!(Ask::parse("after=7&limit=5&wait=30"), ask(Some(7), 5, 30));
        assert_eq!(Ask::parse("limit=1001&wait=61"), ask(None, 1_000, 60));
        assert_eq!(Ask::parse("limit=99999999999999999999&wait=99999999999999999999"), ask(None, 1_000, 60));
        for bad in [
            "after=",
            "after=-1",
            "after=x",
            "limit=0",
            "limit=1.5",
            "wait=2s",
            "wait=+1",
            "afetr=1",
            "after=1&after=2",
        ] {
            let refused = Ask::parse(bad).expect_err(bad);
            assert_eq!(actix_web::ResponseError::status_code(&refused).as_u16(), 400, "{bad}");
        }
    }
}
