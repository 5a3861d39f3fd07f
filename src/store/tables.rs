//! Every table, and who is answerable for its rows.
//!
//! Rows of a server are keyed by its *name*: a number for each server would shorten the key but need a table that gives the
//! numbers, a look-up before each write and a rule for names that go away. Within a server keys rise, and that is what a
//! commit costs: it pays for each page it dirties, hardly for a row, so what is written together lies together.

use redb::TableDefinition;

/// (kind, time, n, seq, server, word, note, body): one form for all kinds, columns unused by a kind are 0 or empty.
pub(super) type FeedValue = (u8, u64, u64, u64, &'static str, &'static str, &'static str, &'static [u8]);

/// (accepted, digest, number of updates, JSON of the places in the outboxes).
pub(super) type SubmissionValue = (u64, &'static [u8; 16], u32, &'static [u8]);

/// (time, seq, code, reason, body).
pub(super) type QuarantineValue = (u64, u64, &'static str, &'static str, &'static [u8]);

/// Schema version, own name, epoch. Owner: opening the store. Bound: three rows. Trimmed: never.
pub(super) const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Server -> its record as JSON. Owner: that peer's actor. Bound: one row a peer. Trimmed: never, the numbers in it must
/// outlive the peer's absence.
pub(super) const PEERS: TableDefinition<&str, &[u8]> = TableDefinition::new("peers");

/// (server, index) -> (item number, queued at). Owner: appended by the writer from submissions. Bound: `outbox_items` of the
/// peer unacknowledged, `retain_items` acknowledged. Trimmed: by that peer's actor.
pub(super) const OUTBOX: TableDefinition<(&str, u64), (u64, u64)> = TableDefinition::new("outbox");

/// Item number -> (how many outbox rows name it, bytes). Owner: the writer. Bound: the rows of all outboxes. Trimmed: by the
/// writer, with the last outbox row that names it.
pub(super) const ITEMS: TableDefinition<u64, (u32, &[u8])> = TableDefinition::new("items");

/// (server, number of the first) -> digests of 16 bytes, one after the other; a row is a push. Owner: that peer's actor.
/// Bound: what the actor remembers and one push more. Trimmed: by that actor, whole rows only.
pub(super) const TAKEN: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("taken");

/// Submission id -> what was accepted and where it stands. Owner: the messenger's adapter. Bound: the time within which a
/// submission may be repeated. Trimmed: by that adapter's housekeeping.
pub(super) const SUBMISSIONS: TableDefinition<&str, SubmissionValue> = TableDefinition::new("submissions");

/// Position -> entry. Owner: position by the writer, content by the actor that feeds. Bound: `feed.high_water` before doors
/// close, then `feed.retain` once acknowledged. Trimmed: by the feed's housekeeping, acknowledged rows only.
pub(super) const FEED: TableDefinition<u64, FeedValue> = TableDefinition::new("feed");

/// Consumer -> newest position it acknowledged. Owner: the feed's adapter. Bound: one row. Trimmed: never.
pub(super) const FEED_CURSOR: TableDefinition<&str, u64> = TableDefinition::new("feed_cursor");

/// (server, number) -> an inbound item that cannot be given to the messenger. Owner: the actor that refused it. Bound:
/// `quarantine_items` of the peer. Trimmed: by the writer, the oldest goes as a new one comes.
pub(super) const QUARANTINE: TableDefinition<(&str, u64), QuarantineValue> = TableDefinition::new("quarantine");

/// The one consumer of today.
pub(super) const MESSENGER: &str = "messenger";

/// All rows of a server in a table keyed by (server, number).
pub(super) fn all_of(server: &str) -> std::ops::RangeInclusive<(&str, u64)> {
    (server, 0)..=(server, u64::MAX)
}
