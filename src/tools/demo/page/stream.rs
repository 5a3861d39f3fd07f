//! The stream of a page: the events of the gateway as they come, and between them the state of the network, of the contexts
//! and of the peers, each when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::Data;
use actix_web::{Error, HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use reqwest::Response;
use reqwest::header::HeaderValue;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::tools::demo::names::{CONTEXTS, NAMES};
use crate::tools::demo::network::CutServers;
use crate::tools::demo::page::error::PageError;
use crate::tools::demo::page::messenger::{PageMessenger, segment};
use crate::tools::demo::page::state::{PageState, STREAMS_MAX};

/// Interval at which contexts and peers are read: the feed has no event for a parent that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Maximum bytes of an event of the gateway; the stream ends at a larger one, and the page reads the history.
const EVENT_MAX: usize = 4 << 20;

/// Opens a stream.
pub(super) async fn get(
    page: Data<PageState>,
    messenger: Data<PageMessenger>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    let permit = Arc::clone(&page.streams).try_acquire_owned().map_err(|_| PageError::PagesMax(STREAMS_MAX))?;
    let last = request.headers().get("last-event-id").and_then(|last| HeaderValue::from_bytes(last.as_bytes()).ok());
    let upstream = messenger.stream(last).await?;
    let mut network = page.network.watch();
    network.mark_changed();
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let messenger = PageMessenger::clone(&messenger);
    let stream = PageStream {
        upstream,
        open: BytesMut::new(),
        network,
        looks,
        messenger,
        shown: BTreeMap::new(),
        _permit: permit,
    };
    let body =
        stream::unfold(stream, |mut stream| async move { Some((Ok::<Bytes, Error>(stream.next().await?), stream)) });
    Ok(HttpResponse::Ok().content_type("text/event-stream").streaming(body))
}

/// The state of one stream.
struct PageStream {
    /// Stream of the gateway.
    upstream: Response,
    /// Beginning of an event that has not come completely.
    open: BytesMut,
    network: watch::Receiver<CutServers>,
    looks: Interval,
    messenger: PageMessenger,
    /// Newest text of each subject, to send it only when it changes.
    shown: BTreeMap<String, Vec<u8>>,
    _permit: OwnedSemaphorePermit,
}

/// The event `network`: the servers that are cut off.
#[derive(Serialize)]
struct NetworkEvent {
    cut: Vec<&'static str>,
}

impl PageStream {
    /// Returns the next events; `None` ends the stream, and the page opens it again.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                chunk = self.upstream.chunk() => {
                    self.open.extend_from_slice(&chunk.ok()??);
                    if let Some(events) = whole_events(&mut self.open) {
                        return Some(events);
                    }
                    if self.open.len() > EVENT_MAX {
                        return None;
                    }
                }
                changed = self.network.changed() => {
                    changed.ok()?;
                    let cut = *self.network.borrow_and_update();
                    let cut = NAMES.into_iter().zip(cut).filter_map(|(name, is_cut)| is_cut.then_some(name)).collect();
                    let text = serde_json::to_vec(&NetworkEvent { cut }).expect("texts always serialize");
                    return Some(event("network", &text).into());
                }
                _ = self.looks.tick() => {
                    let changes = self.look().await;
                    if !changes.is_empty() {
                        return Some(changes.into());
                    }
                }
            }
        }
    }

    /// Reads contexts and peers, and returns an event for each that has changed. What cannot be read is read again later.
    async fn look(&mut self) -> Vec<u8> {
        let contexts = CONTEXTS.map(|context| ("context", format!("contexts/{}", segment(context))));
        let mut changes = vec![];
        for (kind, path) in contexts.into_iter().chain([("peers", "peers".to_owned())]) {
            let Ok(Some(text)) = self.messenger.get(&path).await else { continue };
            if self.shown.get(&path) != Some(&text) {
                changes.extend(event(kind, &text));
                self.shown.insert(path, text);
            }
        }
        changes
    }
}

/// Takes all complete events from the beginning of a text.
fn whole_events(open: &mut BytesMut) -> Option<Bytes> {
    let end = open.windows(2).rposition(|two| two == b"\n\n")?;
    Some(open.split_to(end + 2).freeze())
}

/// Returns an event without an id, which moves no resume point. JSON of the gateway has no line breaks.
fn event(kind: &str, text: &[u8]) -> Vec<u8> {
    [b"event: ", kind.as_bytes(), b"\ndata: ", text, b"\n\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_passed_on_whole() {
        let mut open = BytesMut::from(&b"id: 1\ndata: a"[..]);
        assert_eq!(whole_events(&mut open), None);
        open.extend_from_slice(b"\n\nid: 2\ndata: b\n\n:\n\nid: 3\n");
        assert_eq!(whole_events(&mut open).as_deref(), Some(&b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n:\n\n"[..]));
        assert_eq!(&open[..], b"id: 3\n");
    }
}
