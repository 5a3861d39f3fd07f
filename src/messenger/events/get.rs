//! `GET /v1/events`: the feed after a position, with long polling or as a stream.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::model::Position;
use actors::ports::{ArchiveError, FeedBounds, FeedPage, FeedReader};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::watch;

use crate::http::error::ApiError;
use crate::http::query;
use crate::messenger::MessengerApi;
use crate::messenger::answer::RETRY_AFTER_DEFAULT;
use crate::messenger::events::ack::{acknowledge, push_on};
use crate::messenger::events::render::render;
use crate::messenger::events::stream;
use crate::openapi::schema_book::{truth, whole_number};

/// Default number of events in a page.
const LIMIT_DEFAULT: u64 = 100;
/// Maximum number of events in a page.
const LIMIT_MAX: u64 = 1_000;
/// Maximum bytes of events in a page; a larger event is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;
/// Maximum wait in seconds.
const WAIT_MAX: u64 = 60;

/// Returns a page of events.
pub(crate) async fn get(api: web::Data<MessengerApi>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let is_stream = stream::is_asked(&request);
    let ask = EventsRequest::parse(request.query_string(), is_stream)?;
    let feed = &*api.gateway.ports().archive.feed;
    let bounds = *feed.feed_bounds().borrow();
    if is_stream {
        // A browser repeats the first URL when it resumes, so its header wins.
        let after = stream::last_event_id(&request)?.or(ask.after).unwrap_or(api.acks.position(bounds));
        if ask.ack && after <= bounds.tail {
            acknowledge_read(&api, after, bounds)?;
        }
        let permit = Arc::clone(&api.reads).try_acquire_owned().map_err(|_| too_many(api.limits.reads_max))?;
        return Ok(stream::respond(&api, after, permit));
    }
    let after = ask.after.unwrap_or(api.acks.position(bounds));
    if after > bounds.tail {
        // The reader has read the feed of another store, such as a copy. If it waited here, it would miss all events up
        // to its position.
        return Err(ApiError::beyond_tail(after, bounds.tail));
    }
    if ask.ack {
        acknowledge_read(&api, after, bounds)?;
    }
    // The permit is held while the read may wait, because each waiting read occupies a connection.
    let _read = match ask.wait.is_zero() {
        true => None,
        false => Some(api.reads.try_acquire().map_err(|_| too_many(api.limits.reads_max))?),
    };
    let body = match page(feed, after, ask, api.stopping.clone()).await? {
        FeedPage::Gone { oldest } => return Err(ApiError::gone(oldest)),
        FeedPage::Entries(entries) => render(after, &entries)?,
    };
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

/// Acknowledges what the reader has read before it reads on.
fn acknowledge_read(api: &MessengerApi, after: Position, bounds: FeedBounds) -> Result<(), ApiError> {
    match api.push.is_some() {
        true => Err(push_on()),
        false => acknowledge(api, after, bounds),
    }
}

fn too_many(max: usize) -> ApiError {
    let words =
        format!("messenger.reads_max is reached ({max}): so many reads wait for an event; retry, or read without wait");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_READS", words)
        .retry_after(RETRY_AFTER_DEFAULT)
        .by_limit("messenger.reads_max")
}

/// The query as text.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Position after which to read; if it is absent, the acknowledged one.
    #[serde(default)]
    #[schemars(schema_with = "whole_number")]
    after: Option<String>,
    /// Number of events, 100 if it is absent. More than 1,000 are 1,000.
    #[serde(default)]
    #[schemars(schema_with = "whole_number", range(min = 1))]
    limit: Option<String>,
    /// Seconds to wait for an event, 0 if it is absent. More than 60 are 60.
    #[serde(default)]
    #[schemars(schema_with = "whole_number")]
    wait: Option<String>,
    /// `true`: acknowledge everything up to `after`; without it there is nothing to acknowledge.
    #[serde(default)]
    #[schemars(schema_with = "truth")]
    ack: Option<String>,
}

/// The query with its limits applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EventsRequest {
    after: Option<Position>,
    limit: u32,
    wait: Duration,
    /// True if the read acknowledges everything up to `after`.
    ack: bool,
}

impl EventsRequest {
    /// Reads the query. A stream ignores `limit` and `wait`, whatever they say.
    fn parse(query: &str, is_stream: bool) -> Result<Self, ApiError> {
        let bad = |words: String| ApiError::bad_request("BAD_QUERY", words);
        let is_read = |pair: &&str| !is_stream || !matches!(pair.split('=').next(), Some("limit" | "wait"));
        let read: Vec<&str> = query.split('&').filter(is_read).collect();
        let query: EventsQuery = query::read(&read.join("&"))?;
        let number = |name: &str, text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // A number that does not fit counts as the largest, which no counter reaches.
            is_number
                .then(|| text.parse().unwrap_or(u64::MAX))
                .ok_or_else(|| bad(format!("{name} is not a number: {text:?}")))
        };
        let after = query.after.map(|text| number("after", &text)).transpose()?.map(Position);
        let limit = query.limit.map_or(Ok(LIMIT_DEFAULT), |text| number("limit", &text))?.min(LIMIT_MAX);
        if limit == 0 {
            return Err(bad("limit must be at least 1".into()));
        }
        let wait = query.wait.map_or(Ok(0), |text| number("wait", &text))?.min(WAIT_MAX);
        let ack = match query.ack.as_deref() {
            Some("true") => true,
            None | Some("false") => false,
            Some(other) => return Err(bad(format!("ack is true or false: {other:?}"))),
        };
        Ok(Self { after, limit: limit as u32, wait: Duration::from_secs(wait), ack })
    }
}

/// Returns the next page. It is empty if no event arrived in time or the gateway stops.
async fn page(
    feed: &dyn FeedReader,
    after: Position,
    ask: EventsRequest,
    stopping: watch::Receiver<bool>,
) -> Result<FeedPage, ArchiveError> {
    if something_follows(after, feed.feed_bounds(), ask.wait, stopping).await {
        feed.feed_after(after, ask.limit, PAGE_BYTES).await
    } else {
        Ok(FeedPage::Entries(Vec::new()))
    }
}

/// Returns whether the feed has events after `after`, now or within `wait`.
pub(crate) async fn something_follows(
    after: Position,
    mut bounds: watch::Receiver<FeedBounds>,
    wait: Duration,
    mut stopping: watch::Receiver<bool>,
) -> bool {
    let stops = async {
        if stopping.wait_for(|stopping| *stopping).await.is_err() {
            // The sender was dropped without a signal, so only the timeout ends the wait.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // Existing events are also returned to a reader that does not wait, or that calls while the gateway stops.
        biased;
        reached = bounds.wait_for(|bounds| bounds.tail > after) => reached.is_ok(),
        () = stops => false,
        () = tokio::time::sleep(wait) => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn ask(after: Option<u64>, limit: u32, wait: u64) -> Result<EventsRequest, ApiError> {
        Ok(EventsRequest { after: after.map(Position), limit, wait: Duration::from_secs(wait), ack: false })
    }

    fn parse(query: &str) -> Result<EventsRequest, ApiError> {
        EventsRequest::parse(query, false)
    }

    #[test]
    fn large_feed_query_is_clamped() {
        assert_eq!(parse(""), ask(None, 100, 0));
        assert_eq!(parse("after=7&limit=5&wait=30"), ask(Some(7), 5, 30));
        assert_eq!(parse("limit=1001&wait=61"), ask(None, 1_000, 60));
        assert_eq!(parse("limit=99999999999999999999&wait=99999999999999999999"), ask(None, 1_000, 60));
        let acked = parse("after=7&ack=true").map(|ask| ask.ack);
        assert_eq!((acked, parse("ack=false").map(|ask| ask.ack)), (Ok(true), Ok(false)));
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
            "after=1&ack=",
            "after=1&ack=1",
        ] {
            let refused = parse(bad).expect_err(bad);
            assert_eq!(actix_web::ResponseError::status_code(&refused).as_u16(), 400, "{bad}");
        }
    }

    fn feed(tail: u64) -> (watch::Sender<FeedBounds>, watch::Receiver<FeedBounds>) {
        watch::channel(FeedBounds { tail: Position(tail), ..FeedBounds::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn feed_tail_read_waits_for_event() {
        let (fed, bounds) = feed(3);
        let (_stop, stopping) = watch::channel(false);
        let minute = Duration::from_secs(60);
        assert!(something_follows(Position(2), bounds.clone(), Duration::ZERO, stopping.clone()).await, "it is there");
        assert!(!something_follows(Position(3), bounds.clone(), Duration::ZERO, stopping.clone()).await, "no wait");
        let started = Instant::now();
        assert!(!something_follows(Position(3), bounds.clone(), minute, stopping.clone()).await, "nothing came");
        assert_eq!(started.elapsed(), minute);
        let waiting = tokio::spawn(something_follows(Position(4), bounds, minute, stopping));
        tokio::task::yield_now().await;
        fed.send_modify(|bounds| bounds.acked = Position(3));
        fed.send_modify(|bounds| bounds.tail = Position(4));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "neither an ack nor an event before the position ends the wait");
        fed.send_modify(|bounds| bounds.tail = Position(5));
        assert!(waiting.await.expect("no panic"));
        assert_eq!(started.elapsed(), minute, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_feed_wait() {
        let (_fed, bounds) = feed(3);
        let (stop, stopping) = watch::channel(false);
        let minute = Duration::from_secs(60);
        let started = Instant::now();
        let waiting = tokio::spawn(something_follows(Position(3), bounds.clone(), minute, stopping.clone()));
        tokio::task::yield_now().await;
        stop.send_replace(true);
        assert!(!waiting.await.expect("no panic"));
        assert!(something_follows(Position(2), bounds.clone(), minute, stopping.clone()).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
        let (quiet, quietly) = watch::channel(false);
        drop(quiet);
        assert!(!something_follows(Position(3), bounds, minute, quietly).await);
        assert_eq!(started.elapsed(), minute, "a lost sender is no stop");
    }
}
