//! The events of the feed, and the pages of PDUs, for the description of the API and for clients.
//!
//! `messenger::events::render` and its neighbours write them directly, because the content of a PDU is copied byte for byte. A test
//! reads what they write by these types.

mod other_events;
mod pdu_events;

pub use other_events::{
    ContextGapKeys, DeliveryEventKeys, EphemeralEventShape, GapEventKeys, NoticeEventKeys, ParkedEventKeys,
    ParkedPduKeys, ParkedUpdateKeys, PeerEventKeys, UpdateEventKeys, UpdateGapKeys,
};
pub use pdu_events::{
    HistoryEntryShape, HistoryEvent, HistoryPageShape, MessageKeys, NextStateShape, StateKeys, StatePageShape,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventsPage {
    /// The events, by position.
    pub events: Vec<EventShape>,
    /// Position to pass as the next `after`.
    pub next: u64,
}

/// An event of the feed. More kinds and keys may come: acknowledge and ignore those that you do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventShape {
    /// A message of another server.
    Message(NumberedEvent<MessageKeys>),
    /// A message that sets state.
    State(NumberedEvent<StateKeys>),
    /// A strong update of a server.
    Update(NumberedEvent<UpdateEventKeys>),
    /// Something that cannot be had: parents of messages, or updates of a server.
    Gap(NumberedEvent<GapEventKeys>),
    /// A parent that was given up and arrived later.
    GapFilled(NumberedEvent<ContextGapKeys>),
    /// The end of a submission at a peer.
    Delivery(NumberedEvent<DeliveryEventKeys>),
    /// A peer was suspended, or sending to it goes on.
    Peer(NumberedEvent<PeerEventKeys>),
    /// An item of a peer went to quarantine.
    Parked(NumberedEvent<ParkedEventKeys>),
    /// Something that people should read.
    Notice(NumberedEvent<NoticeEventKeys>),
}

/// The keys that all events of the feed have, with those of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "{Keys}Event")]
pub struct NumberedEvent<Keys> {
    /// Position in the feed.
    pub position: u64,
    /// Id of the event. It is the same when the event is read again, also after a restart or a restore.
    pub id: String,
    /// Time at which it was written (RFC 3339).
    pub time: String,
    /// The keys of its kind.
    #[serde(flatten)]
    pub keys: Keys,
    /// `true`: it was refused before, and an operator has released it. Only in a push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<bool>,
}

/// The first event of a stream whose position to resume after is not kept. It is in no page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResetEventShape {
    /// `reset`.
    pub kind: String,
    /// `gone` or `beyond_tail`.
    pub reason: String,
    /// Oldest position that is kept.
    pub oldest: u64,
    /// Position of the newest event.
    pub tail: u64,
}

/// The body of `PUT {url}/transactions/{txn}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushedEvents {
    /// The events, in the order of the feed.
    pub events: Vec<EventShape>,
}

/// The body of `POST {url}/ephemeral`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushedEphemeral {
    /// The events.
    pub events: Vec<EphemeralEventShape>,
}

/// The body of the messenger's answer to a transaction. All of it is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PushAnswer {
    /// Events that the messenger will never take.
    #[serde(default)]
    pub refused: Vec<RefusedEventKeys>,
}

/// An event that the messenger refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedEventKeys {
    /// Position of an event of the transaction.
    pub position: u64,
    /// Reason, for people.
    #[serde(default)]
    pub reason: String,
}
