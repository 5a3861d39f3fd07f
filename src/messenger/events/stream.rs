//! `GET /v1/events` as a stream of server-sent events.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ACCEPT, Accept, CACHE_CONTROL, Header, HeaderName, HeaderValue, Quality};
use actix_web::rt;
use actix_web::{Error, HttpRequest, HttpResponse};
use actors::model::Position;
use actors::ports::{ArchiveError, FeedBounds, FeedPage, FeedReader};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::http::error::ApiError;
use crate::messenger::MessengerApi;
use crate::messenger::ephemeral_feed::{EphemeralEvent, EphemeralReader};
use crate::messenger::events::ack_cursor::AckCursor;
use crate::messenger::events::open_streams::OpenStreamGuard;
use crate::messenger::events::render::{EventTimes, render_event};

/// Media type of a stream.
const EVENT_STREAM: &str = "text/event-stream";

/// Header of a browser that resumes a stream.
pub(super) const LAST_EVENT_ID: &str = "last-event-id";

/// Maximum number of events and bytes of one chunk; a larger event is a chunk of its own. Two chunks wait for the socket at most, so that
/// with the ephemeral events that wait a stream holds at most 256 KiB.
const CHUNK_EVENTS: u32 = 256;
const CHUNK_BYTES: usize = 64 << 10;

/// Maximum bytes of the lines around the text of an event.
const FRAME_BYTES: usize = 64;

/// Returns whether a request asks for a stream: it names the type of streams, and prefers it to JSON.
pub(super) fn is_asked(request: &HttpRequest) -> bool {
    let Some(Ok(accept)) = request.headers().contains_key(ACCEPT).then(|| Accept::parse(request)) else { return false };
    let weight = |essence: &str| {
        accept.0.iter().filter(|item| item.item.essence_str() == essence).map(|item| item.quality).max()
    };
    weight(EVENT_STREAM)
        .is_some_and(|stream| stream > Quality::ZERO && weight("application/json").is_none_or(|json| stream > json))
}

/// Reads the position after which a stream resumes. An empty header counts as absent.
pub(super) fn last_event_id(request: &HttpRequest) -> Result<Option<Position>, ApiError> {
    let Some(header) = request.headers().get(LAST_EVENT_ID).filter(|header| !header.is_empty()) else {
        return Ok(None);
    };
    let digits = header.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // A number that does not fit counts as the largest, which no counter reaches.
    digits
        .map(|text| Some(Position(text.parse().unwrap_or(u64::MAX))))
        .ok_or_else(|| ApiError::bad_request("BAD_QUERY", format!("Last-Event-ID is not a number: {header:?}")))
}

/// Begins a stream after a position.
pub(super) fn respond(api: &MessengerApi, after: Position, permit: OwnedSemaphorePermit) -> HttpResponse {
    let (chunks, received) = mpsc::channel(1);
    let feed = Arc::clone(&api.gateway.ports().archive.feed);
    let stream = EventStream {
        bounds: feed.feed_bounds(),
        feed,
        acks: api.acks.clone(),
        ephemeral: api.ephemeral.reader(),
        position: after,
        keep_alive: api.limits.keep_alive,
    };
    rt::spawn(run(stream, chunks, api.stopping.clone(), (permit, api.streams.enter())));
    let body =
        stream::unfold(
            received,
            |mut received| async move { Some((Ok::<Bytes, Error>(received.recv().await?), received)) },
        );
    HttpResponse::Ok()
        .content_type(EVENT_STREAM)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")))
        .streaming(body)
}

/// The state of one stream.
struct EventStream {
    feed: Arc<dyn FeedReader>,
    bounds: watch::Receiver<FeedBounds>,
    acks: AckCursor,
    ephemeral: EphemeralReader,
    /// Newest position that was written.
    position: Position,
    keep_alive: Duration,
}

/// Writes a stream until its reader leaves or the gateway stops. A chunk is made only when there is room for it, so a slow reader
/// holds two of them.
async fn run(
    mut stream: EventStream,
    chunks: mpsc::Sender<Bytes>,
    mut stopping: watch::Receiver<bool>,
    _permits: (OwnedSemaphorePermit, OpenStreamGuard),
) {
    if chunks.send(Bytes::from_static(b"retry: 1000\n\n")).await.is_err() {
        return;
    }
    loop {
        let next = async {
            let room = chunks.reserve().await.ok()?;
            Some((room, stream.next_chunk().await))
        };
        let stopped = async {
            if stopping.wait_for(|stopping| *stopping).await.is_err() {
                // The sender was dropped without a signal, so only the reader ends the stream.
                std::future::pending::<()>().await;
            }
        };
        let next = tokio::select! {
            biased;
            () = stopped => None,
            () = chunks.closed() => None,
            next = next => next,
        };
        match next {
            None => return,
            Some((room, Ok(chunk))) => room.send(chunk),
            Some((_, Err(error))) => {
                tracing::error!(%error, "the feed cannot be read; the stream ends and its reader resumes it");
                return;
            }
        }
    }
}

impl EventStream {
    /// Returns the next chunk: events, or a comment after a silence.
    async fn next_chunk(&mut self) -> Result<Bytes, ArchiveError> {
        let is_silent = {
            let tail_moved = self.bounds.wait_for(|bounds| bounds.tail != self.position);
            tokio::select! {
                biased;
                moved = tail_moved => moved.is_err(),
                () = self.ephemeral.arrived() => false,
                () = tokio::time::sleep(self.keep_alive) => true,
            }
        };
        let mut chunk = Vec::new();
        if is_silent {
            chunk.extend_from_slice(b":\n\n");
            return Ok(chunk.into());
        }
        // What is ephemeral goes first, because a backlog of durable events would outlast it.
        for event in self.ephemeral.take(CHUNK_BYTES / 2) {
            let EphemeralEvent { text, .. } = &*event;
            write_event(&mut chunk, None, "ephemeral", text);
        }
        self.write_durable(&mut chunk).await?;
        Ok(chunk.into())
    }

    async fn write_durable(&mut self, chunk: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let bounds = *self.bounds.borrow_and_update();
        if self.position > bounds.tail {
            let oldest = oldest_kept(&*self.feed, bounds.tail).await?;
            self.reset(chunk, "beyond_tail", oldest, bounds.tail, self.acks.position(bounds));
            return Ok(());
        }
        if self.position == bounds.tail {
            return Ok(());
        }
        match self.feed.feed_after(self.position, CHUNK_EVENTS, CHUNK_BYTES as u64).await? {
            FeedPage::Gone { oldest } => {
                self.reset(chunk, "gone", oldest, bounds.tail, Position(oldest.0.saturating_sub(1)));
            }
            FeedPage::Entries(entries) => {
                let mut times = EventTimes::default();
                for entry in &entries {
                    let mut text = Vec::new();
                    let kind = render_event(&mut text, entry, &mut times)?;
                    if !chunk.is_empty() && chunk.len() + text.len() + FRAME_BYTES > CHUNK_BYTES {
                        break;
                    }
                    write_event(chunk, Some(entry.position), kind, &text);
                    self.position = entry.position;
                }
            }
        }
        Ok(())
    }

    /// Writes that the reader's position is gone, and goes on after another one.
    fn reset(&mut self, chunk: &mut Vec<u8>, reason: &str, oldest: Position, tail: Position, next: Position) {
        let text = format!(r#"{{"kind":"reset","reason":"{reason}","oldest":{oldest},"tail":{tail}}}"#);
        write_event(chunk, Some(next), "reset", text.as_bytes());
        self.position = next;
    }
}

/// Returns the oldest position that is kept; in an empty feed, the next one.
pub(super) async fn oldest_kept(feed: &dyn FeedReader, tail: Position) -> Result<Position, ArchiveError> {
    Ok(match feed.feed_after(Position(0), 1, 1).await? {
        FeedPage::Gone { oldest } => oldest,
        FeedPage::Entries(entries) => entries.first().map_or(Position(tail.0 + 1), |entry| entry.position),
    })
}

/// Writes one event. A raw line break in JSON is white space between tokens, and would end the line, so a blank takes its place.
fn write_event(chunk: &mut Vec<u8>, id: Option<Position>, kind: &str, text: &[u8]) {
    if let Some(id) = id {
        chunk.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    chunk.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    chunk.extend(text.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
    chunk.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn stream_is_asked_by_name() {
        let asked = |accept: &str| is_asked(&TestRequest::default().insert_header((ACCEPT, accept)).to_http_request());
        for accept in ["text/event-stream", "text/event-stream, */*;q=0.1", "application/json;q=0.9,text/event-stream"]
        {
            assert!(asked(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "text/*",
            "application/json",
            "text/event-stream;q=0",
            "application/json, text/event-stream",
            "application/json;q=0.5,text/event-stream;q=0.4",
            "",
        ] {
            assert!(!asked(accept), "{accept}");
        }
        assert!(!is_asked(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn event_is_one_line_of_data() {
        let mut chunk = Vec::new();
        write_event(&mut chunk, Some(Position(7)), "update", b"{\"a\":\r\n1}");
        write_event(&mut chunk, None, "ephemeral", b"{}");
        let text = String::from_utf8(chunk).expect("text");
        assert_eq!(text, "id: 7\nevent: update\ndata: {\"a\":  1}\n\nevent: ephemeral\ndata: {}\n\n");
    }

    #[test]
    fn last_event_id_is_a_number() {
        let read =
            |id: &str| last_event_id(&TestRequest::default().insert_header((LAST_EVENT_ID, id)).to_http_request());
        assert_eq!(read("12"), Ok(Some(Position(12))));
        assert_eq!(read("99999999999999999999999"), Ok(Some(Position(u64::MAX))));
        assert_eq!(read(""), Ok(None));
        for bad in ["-1", "1.5", "x", " 1 2"] {
            assert_eq!(read(bad).map_err(|no| no.code()), Err("BAD_QUERY"), "{bad}");
        }
    }
}
