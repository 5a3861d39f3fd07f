//! The messenger of a gateway: it submits messages, reads its feed, and compares the feed with what it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use actors::change::Change;
use actors::errors::{ComposeError, ContextError, UnavailableError};
use actors::model::{
    ContextId, Digest, FeedEntry, FeedItem, FeedPdu, ParkedWhat, PduDraft, PduRef, Position, RefusedEvent, ServerName,
};
use actors::ports::{CommitPriority, FeedPage, FeedReader, Journal, Ownership};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::network::short;
use crate::node::TestNode;
use crate::peers::server;

/// Number of refused events that a gateway keeps.
const REFUSED_KEPT: u64 = 10_000;

/// The context of this id.
pub fn context(name: &str) -> ContextId {
    name.parse().unwrap()
}

/// `red/1`
pub fn at(text: &str) -> PduRef {
    let (origin, id) = text.split_once('/').expect("origin/id");
    PduRef { origin: server(origin), id: id.parse().unwrap() }
}

/// `red/1` again.
pub fn named(reference: &PduRef) -> String {
    format!("{}/{}", short(&reference.origin), reference.id)
}

/// The parts of a PDU that a messenger reads.
#[derive(Deserialize)]
pub struct PduView<'a> {
    prev_pdus: Vec<(String, String)>,
    #[serde(borrow)]
    /// Content of the message.
    pub content: &'a RawValue,
}

impl<'a> PduView<'a> {
    /// Of a PDU in the feed.
    pub fn of(pdu: &'a FeedPdu) -> Self {
        Self::read(&pdu.bytes)
    }

    /// Of the text of a PDU.
    pub fn read(bytes: &'a [u8]) -> Self {
        serde_json::from_slice(bytes).unwrap()
    }

    /// The PDUs that it names as its parents.
    pub fn prev(&self) -> Vec<PduRef> {
        let reference =
            |(origin, id): &(String, String)| PduRef { origin: origin.parse().unwrap(), id: id.parse().unwrap() };
        self.prev_pdus.iter().map(reference).collect()
    }
}

/// Returns a message whose text is its id.
pub fn draft(id: &str) -> PduDraft {
    PduDraft {
        receipt: false,
        submission: id.parse().unwrap(),
        digest: Digest([7; 16]),
        accepted: crate::time::BASE,
        id: id.parse().unwrap(),
        kind: Arc::from("m.text"),
        content: format!(r#"{{"text":"{id}"}}"#).into(),
        state: None,
        to: None,
        extra: vec![],
    }
}

impl TestNode {
    /// Names the participants beside this server.
    pub async fn with(&self, room: &str, servers: &[&str]) {
        let servers = servers.iter().map(|name| server(name)).collect();
        self.gateway().set_participants(&context(room), servers).await.unwrap();
    }

    /// Submits a message, which has to be accepted.
    pub async fn say(&self, room: &str, id: &str) {
        self.try_say(room, id).await.unwrap();
    }

    /// Submits a message, which may be refused.
    pub async fn try_say(&self, room: &str, id: &str) -> Result<(), ComposeError> {
        self.say_draft(room, draft(id)).await
    }

    /// Say this draft, which may be refused.
    pub async fn say_draft(&self, room: &str, draft: PduDraft) -> Result<(), ComposeError> {
        let Some(gateway) = self.alive() else { return Err(ContextError::from(UnavailableError::Stopping).into()) };
        let composed = gateway.compose(&context(room), vec![draft]).await?;
        Ok(composed.into_iter().next().expect("one a draft").map(|_| ())?)
    }

    /// Reads the new events of the feed and acknowledges them.
    pub async fn read(&self) {
        self.read_on(true).await;
    }

    /// Reads the new events of the feed, and acknowledges all events or none yet.
    pub async fn read_on(&self, acknowledges: bool) {
        self.read_refusing(acknowledges, |_| false).await;
    }

    /// Reads on like [`read_on`](Self::read_on), and refuses some of the events that it acknowledges. Returns the position up to
    /// which the messenger has acknowledged its feed; 0: it has acknowledged nothing now.
    pub async fn read_refusing(&self, acknowledges: bool, refuses: impl Fn(&FeedEntry) -> bool) -> Position {
        let mut acknowledged = Position(0);
        if self.alive().is_none() {
            return acknowledged;
        }
        let (store, life) = (self.store(), self.current_run());
        let acknowledge = async |upto| {
            let fence = store.claim_feed().expect("ours");
            let acked = store.feed_bounds().borrow().acked;
            let mut changes: Vec<Change> = {
                let heard = self.heard.borrow();
                let unread = &heard[heard.partition_point(|entry| entry.position <= acked)..];
                unread.iter().filter(|entry| refuses(entry)).map(refused).collect()
            };
            changes.push(Change::FeedAcked { upto });
            // The messenger ignores a failed journal: it continues after the restart.
            let _ = store.submit(fence, changes, CommitPriority::Now).committed().await;
        };
        let read = self.read_to();
        if acknowledges {
            acknowledged = read;
            if store.feed_bounds().borrow().acked < read {
                acknowledge(read).await;
            }
        }
        loop {
            let after = self.read_to();
            // A failed disk returns nothing; the messenger continues after the restart.
            let Ok(page) = store.feed_after(after, 1000, u64::MAX).await else { return acknowledged };
            // The page of a gateway that has ended meanwhile is ignored.
            if life.strong_count() == 0 {
                return acknowledged;
            }
            let FeedPage::Entries(entries) = page else { panic!("nothing is ever trimmed here") };
            let Some(last) = entries.last().map(|entry| entry.position) else { return acknowledged };
            let mut before = after;
            for entry in &entries {
                let follows = entry.position == before.next() || skips(before, entry);
                assert!(follows, "the feed of {} has a hole between {before} and {}", self.name, entry.position);
                before = entry.position;
            }
            self.heard.borrow_mut().extend(entries);
            if acknowledges {
                acknowledged = last;
                acknowledge(last).await;
            }
        }
    }

    /// Returns the position after which the messenger reads on.
    fn read_to(&self) -> Position {
        let heard = self.heard.borrow().last().map_or(Position(0), |last| last.position);
        heard.max(self.cursor.get())
    }

    /// Returns the newest position of its feed.
    pub fn store_tail(&self) -> u64 {
        self.store().feed_bounds().borrow().tail.0
    }

    /// Returns all events read so far, in short form.
    pub async fn feed(&self) -> Vec<String> {
        self.read().await;
        self.heard.borrow().iter().map(words).collect()
    }

    /// Returns the PDUs read so far, in order.
    pub fn pdus(&self) -> Vec<FeedPdu> {
        let pdu = |entry: &FeedEntry| match &entry.item {
            FeedItem::Pdu(pdu) => Some((**pdu).clone()),
            _ => None,
        };
        self.heard.borrow().iter().filter_map(pdu).collect()
    }

    /// Checks that each PDU appears once, and none before its parents unless a gap was announced.
    pub fn check_order(&self, about: &str) {
        let mut seen: BTreeMap<ContextId, BTreeSet<PduRef>> = BTreeMap::new();
        let mut announced = BTreeSet::new();
        for entry in self.heard.borrow().iter() {
            match &entry.item {
                FeedItem::Gap { missing, .. } => announced.extend(missing.iter().cloned()),
                FeedItem::Pdu(pdu) => {
                    let seen = seen.entry(pdu.context.clone()).or_default();
                    let us = &self.name;
                    let is_there = |parent: &PduRef| parent.origin == *us || seen.contains(parent);
                    let absent: Vec<PduRef> =
                        PduView::of(pdu).prev().into_iter().filter(|parent| !is_there(parent)).collect();
                    assert_eq!(absent, pdu.shown.gap, "{about}: {us} sees {} before its parent", pdu.reference);
                    assert!(absent.iter().all(|parent| announced.contains(parent)), "{about}: {us} was told of no gap");
                    assert!(seen.insert(pdu.reference.clone()), "{about}: {us} sees {} twice", pdu.reference);
                }
                _ => {}
            }
        }
    }
}

/// Returns the refusal of an event.
fn refused(entry: &FeedEntry) -> Change {
    let event =
        RefusedEvent { position: entry.position, reason: "unwanted".to_owned(), bytes: Bytes::from_static(b"{}") };
    Change::EventRefused { event, keep: REFUSED_KEPT }
}

/// Returns whether the entry is the first event of a restored store. A restored store skips the positions that the lost one
/// may have assigned, and a reader of these has its cursor among them.
fn skips(before: Position, entry: &FeedEntry) -> bool {
    let is_told = matches!(&entry.item, FeedItem::Notice { text, server: None } if text.contains("was restored at"));
    is_told && entry.position > before && entry.position.0 >= 1 << 32
}

/// Returns an event in short form.
fn words(entry: &FeedEntry) -> String {
    let list = |references: &[PduRef]| references.iter().map(named).collect::<Vec<_>>().join(", ");
    match &entry.item {
        FeedItem::Pdu(pdu) => {
            let without =
                if pdu.shown.gap.is_empty() { String::new() } else { format!(" without {}", list(&pdu.shown.gap)) };
            let late = if pdu.shown.late { " late" } else { "" };
            format!("{}{without}{late}", named(&pdu.reference))
        }
        FeedItem::Gap { missing, children, .. } => format!("gap {} before {}", list(missing), list(children)),
        FeedItem::GapFilled { missing, children, .. } => format!("filled {} before {}", list(missing), list(children)),
        FeedItem::Parked(parked) => {
            let id = match &parked.what {
                ParkedWhat::Pdu { id, .. } => id.clone().unwrap_or_default(),
                ParkedWhat::Update(seq) | ParkedWhat::Forward(seq, _) => seq.to_string(),
            };
            format!("parked {id} of {}: {}", short(&parked.from), parked.code.as_str())
        }
        FeedItem::Delivery { message, server, state, reason } => {
            format!("{message} at {}: {state}, {}", short(server), reason.as_deref().unwrap_or_default())
        }
        FeedItem::Peer { server, state, reason } => {
            format!("peer {}: {state} {}", short(server), reason.as_deref().unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

/// Returns the short names of the others, for [`TestNode::with`].
pub fn others<'a>(us: &ServerName, all: &[&'a str]) -> Vec<&'a str> {
    all.iter().copied().filter(|name| server(name) != *us).collect()
}
