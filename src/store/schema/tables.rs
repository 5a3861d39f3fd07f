//! Every table with its key, its value, its owner, its bound and what trims it.
//!
//! Rows of a server are keyed by its *name*. A number for each server would make keys shorter, but needs a table that
//! assigns the numbers, a lookup before each write and a rule for names that are removed. Within a server keys rise,
//! because a commit costs as much as the pages that it dirties and hardly anything per row: rows written together are
//! stored together.

use std::ops::Bound;

use redb::{Key, TableDefinition, Value};

use crate::store::schema::codec::columns::{
    AttemptValue, DeadLetterValue, FeedValue, GapValue, HeldForwardValue, HeldValue, HolderValue, ItemValue,
    OutboxValue, PduValue, PieceValue, QuarantinePlace, QuarantineValue, RefusedEventValue, ReleasedEventValue,
    SeenForwardValue, SeenValue, StageValue, SubmissionValue,
};

/// The identity of a PDU: (origin, id).
pub(crate) type RefValue = (&'static str, &'static str);

/// (server, newest index, time of the last delivery).
pub(crate) type DeliveredKey = (&'static str, u64, u64);

/// A row of a state key about one PDU: (context, type, key, origin, id).
pub(crate) type StateEntryKey = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// A row of a context about one PDU: (context, origin, id).
pub(crate) type ContextPduKey = (&'static str, &'static str, &'static str);

/// A row of a context about one PDU as one server sent it: (context, origin, id, sender).
pub(crate) type CopyKey = (&'static str, &'static str, &'static str, &'static str);

/// A row about a PDU that a server sent to a context: (context, server, origin, id).
pub(crate) type StageIdKey = (&'static str, &'static str, &'static str, &'static str);

/// Schema version, own name, epoch, key of the digests; a time that is ahead of all deliveries; in a backup the time of the snapshot; after a
/// restore the lowest start value of the counters of updates and the skipped feed positions. Owner: opening the store, and
/// for the delivery time the writer. Bound: one row for each of these. Trimmed: the mark of a backup, by the opening that
/// adopts it.
pub(crate) const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Server -> its record as JSON. Owner: that peer's actor. Bound: one row a peer. Trimmed: never, because the numbers
/// in it must outlive the peer's absence.
pub(crate) const PEERS: TableDefinition<&str, &[u8]> = TableDefinition::new("peers");

/// (server, index) -> item and queue time, in blocks. Owner: the writer appends rows from submissions. Bound: `outbox_items` of
/// the peer unacknowledged, `retain_items` acknowledged. Trimmed: by that peer's actor.
pub(crate) const OUTBOX: TableDefinition<(&str, u64), OutboxValue> = TableDefinition::new("outbox");

/// Item number -> (number of rows of `outbox` and `dead_letters` that refer to it, bytes). An update for a single server is in its
/// outbox row instead. Owner: the writer. Bound: the rows of these two. Trimmed: by the writer, with the last row that refers to it.
pub(crate) const ITEMS: TableDefinition<u64, ItemValue> = TableDefinition::new("items");

/// (server, number of the first update) -> 16-byte digests in sequence, one row per push. Owner: that peer's actor.
/// Bound: what the actor remembers and one more push. Trimmed: by that actor, whole rows only.
pub(crate) const INBOUND_DIGESTS: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("taken");

/// Submission id -> what was accepted and where its items are queued. Owner: the messenger adapter. Bound: the time
/// within which a submission may be repeated. Trimmed: by that adapter's maintenance job.
pub(crate) const SUBMISSIONS: TableDefinition<&str, SubmissionValue> = TableDefinition::new("submissions");

/// Position -> entry, in blocks. Owner: the writer assigns the position, the actor that appends supplies the content. Bound:
/// `feed.high_water` before admission stops, then `feed.retain` once acknowledged. Trimmed: by the feed's maintenance
/// job, acknowledged rows only.
pub(crate) const FEED: TableDefinition<u64, FeedValue> = TableDefinition::new("feed");

/// Consumer -> newest position that it acknowledged. Owner: the feed's adapter. Bound: one row. Trimmed: never.
pub(crate) const FEED_CURSOR: TableDefinition<&str, u64> = TableDefinition::new("feed_cursor");

/// Consumer -> highest transaction id that a push to it may have had. Owner: the feed's adapter. Bound: one row. Trimmed:
/// never, because no id is used for two transactions.
pub(crate) const PUSH_IDS: TableDefinition<&str, u64> = TableDefinition::new("push_ids");

/// Position -> an event that the messenger refused. Owner: the feed's adapter. Bound: `messenger.push.quarantine_items`.
/// Trimmed: by the writer, which removes the oldest when one is added.
pub(crate) const REFUSED_EVENTS: TableDefinition<u64, RefusedEventValue> = TableDefinition::new("refused_events");

/// Number -> a refused event that is pushed again. Owner: the operator's adapter appends. Bound: the releases since the last
/// push. Trimmed: by the feed's adapter, when the messenger has answered.
pub(crate) const RELEASED_EVENTS: TableDefinition<u64, ReleasedEventValue> = TableDefinition::new("released_events");

/// (server, number) -> an inbound item that cannot be delivered to the messenger. Owner: the actor that refused it.
/// Bound: `quarantine_items` of the peer. Trimmed: by the writer, which removes the oldest when one is added.
pub(crate) const QUARANTINE: TableDefinition<(&str, u64), QuarantineValue> = TableDefinition::new("quarantine");

/// (server, transaction id) -> (first index, last index) of the items of an acknowledged transaction. Owner: that
/// peer's actor. Bound: the rows of `outbox`. Trimmed: by that actor, with the last of its outbox rows.
pub(crate) const OUTBOUND_TRANSACTIONS: TableDefinition<(&str, u64), (u64, u64)> = TableDefinition::new("sent");

/// (server, index of its last item) -> submission whose author asked for a receipt. Owner: the writer, from submissions. Bound: the
/// items of `outbox` whose author asks. Trimmed: by the writer, when the receipt comes or the outbox row leaves.
pub(crate) const REQUESTED_RECEIPTS: TableDefinition<(&str, u64), &str> = TableDefinition::new("requested_receipts");

/// (server, index) -> an item that is not sent to this peer any more. Its row has left `outbox`, except if the peer
/// received and refused it. Owner: that peer's actor. Bound: `quarantine_items` of the peer. Trimmed: by the writer,
/// which removes the oldest when one is added.
pub(crate) const DEAD_LETTERS: TableDefinition<(&str, u64), DeadLetterValue> = TableDefinition::new("dead_letters");

/// (server, number) -> a failed delivery attempt. Owner: that peer's actor. Bound: `attempts_keep` of the peer. Trimmed: by
/// the writer, which removes the oldest when one is added.
pub(crate) const ATTEMPTS: TableDefinition<(&str, u64), AttemptValue> = TableDefinition::new("attempts");

/// (server, newest index, time) -> deliveries up to that index, 25 bytes each. Owner: that peer's actor. Bound: one row for
/// sixteen deliveries within `submissions_keep`. Trimmed: by the feed's maintenance job.
pub(crate) const DELIVERED: TableDefinition<DeliveredKey, &[u8]> = TableDefinition::new("delivered");

/// (server, number) -> a transaction accepted from the server. Owner: that peer's actor. Bound: the newest `keep` of
/// the peer. Trimmed: by the writer, which removes the oldest when one is added.
pub(crate) const INBOUND_TRANSACTIONS: TableDefinition<(&str, u64), SeenValue> = TableDefinition::new("seen");

/// (origin, id) -> a PDU, stored once. Owner: its context's actor. Bound: the PDUs of all contexts. Trimmed: by the
/// retention job after `contexts.history.keep`, down to identity and depth. These are never removed, because another
/// server may send the PDU again.
pub(crate) const PDUS: TableDefinition<RefValue, PduValue> = TableDefinition::new("pdus");

/// (context, position) -> the PDU delivered at that position; PDUs of fetched history have positions from 0 downwards.
/// Owner: that context's actor. Bound: the delivered PDUs. Trimmed: with the text of the PDU.
pub(crate) const TIMELINE: TableDefinition<(&str, i64), RefValue> = TableDefinition::new("timeline");

/// Context -> its record as JSON. Owner: that context's actor. Bound: one row a context. Trimmed: never.
pub(crate) const CONTEXTS: TableDefinition<&str, &[u8]> = TableDefinition::new("contexts");

/// (context, origin, id) -> the parents that a held PDU waits for. Owner: that context's actor. Bound: `held_max` a
/// context. Trimmed: by that actor's deliveries.
pub(crate) const HELD: TableDefinition<ContextPduKey, HeldValue> = TableDefinition::new("held");

/// (context, origin, id) -> children that were delivered without this parent. Owner: that context's actor. Bound: the
/// parents given up. Trimmed: by that actor, when the parent arrives later.
pub(crate) const GAPS: TableDefinition<ContextPduKey, GapValue> = TableDefinition::new("gaps");

/// (context, type, key) -> the PDU that is the current state of the key. Owner: that context's actor. Bound: the state
/// keys ever set. Trimmed: by that actor, when no valid candidate is left.
pub(crate) const STATE: TableDefinition<ContextPduKey, HolderValue> = TableDefinition::new("state");

/// (context, type, key, origin, id) -> the columns of a delivered state PDU that state resolution compares. Owner: that
/// context's actor. Bound: the state PDUs delivered. Trimmed: never, because a PDU that loses today may be part of a
/// branch that wins later.
pub(crate) const STATE_PDUS: TableDefinition<StateEntryKey, PieceValue> = TableDefinition::new("state_pdus");

/// (context, 1 if it was given up, origin, id) -> JSON of the state keys in which a PDU names this undelivered PDU as
/// its `prev_state`. Owner: that context's actor. Bound: 10,000 a context. Trimmed: by that actor, when the PDU
/// arrives.
pub(crate) const STATE_LINKS: TableDefinition<(&str, u8, &str, &str), &[u8]> = TableDefinition::new("state_links");

/// (context, origin, id, sender) -> number in the sender's `quarantine` of a PDU from a server that does not
/// participate, and its order of arrival (epoch, number within the epoch). Owner: that context's actor. Bound: the rows
/// that it refers to. Trimmed: by the writer, together with these.
pub(crate) const QUARANTINE_BY_CONTEXT: TableDefinition<CopyKey, QuarantinePlace> =
    TableDefinition::new("strangers_by_sender");

/// (context, origin, id) -> depth of a head beyond the hundred that the context's own row holds. They have rows of
/// their own so that a large number of heads is not rewritten at each commit. Owner: that context's actor. Bound:
/// `contexts.heads_max` a context. Trimmed: by that actor, when the head is named as a parent or moves into the
/// context's row.
pub(crate) const HEADS: TableDefinition<ContextPduKey, u64> = TableDefinition::new("heads");

/// Context -> (): the context has unfinished work that no other row shows, such as a join or PDUs to be released from
/// quarantine. Owner: that context's actor. Bound: one row a context. Trimmed: by that actor, when the work is done.
pub(crate) const CONTEXT_WORK: TableDefinition<&str, ()> = TableDefinition::new("context_work");

/// (context, server, number) -> a PDU that this server sent while the context was too busy to process it. Owner: that
/// peer's actor appends. Bound: `contexts.stage_max` a context and server, and one batch. Trimmed: by the context's actor
/// when it processes the PDU.
pub(crate) const STAGE: TableDefinition<(&str, &str, u64), StageValue> = TableDefinition::new("stage");

/// (context, server, origin, id) -> the number of this PDU in `stage`, to detect repeats and to count. Owner, bound and
/// trimmed: as the row in `stage`.
pub(crate) const STAGE_IDS: TableDefinition<StageIdKey, u64> = TableDefinition::new("stage_ids");

/// (time from which it is too old, name of the key, nonce) -> (): a signature that was accepted. Owner: the peer's actor. Bound:
/// `peers.nonces_max` a key. Trimmed: by the writer, whenever it adds a row.
pub(crate) const NONCES: TableDefinition<NonceKey, ()> = TableDefinition::new("nonces");

/// Time in milliseconds for which a nonce is kept after its signature is too old, because the clock may have been set forward.
pub(crate) const NONCE_SLACK: u64 = 60 * 60 * 1000;

/// (origin, number in the order of arrival) -> time and id of a forward that was taken or passed on. Owner: the actor of the peer
/// that sent it. Bound: `retain_items` of that peer an origin, for `retain`. Trimmed: by the writer, whenever it adds a row.
pub(crate) const SEEN_FORWARDS: TableDefinition<(&str, u64), SeenForwardValue> = TableDefinition::new("seen_forwards");

/// (origin, id) -> number of the forward in `seen_forwards`. Owner, bound and trimmed: as the row there.
pub(crate) const SEEN_FORWARD_IDS: TableDefinition<(&str, &str), u64> = TableDefinition::new("seen_forward_ids");

/// (server, number) -> a forwarded update of the server that waits for the updates before it. Owner: that peer's actor. Bound:
/// `relay.held_max`. Trimmed: by that actor, when its turn has come.
pub(crate) const HELD_FORWARDS: TableDefinition<(&str, u64), HeldForwardValue> = TableDefinition::new("held_forwards");

/// The key of a row in `nonces`.
pub(crate) type NonceKey = (u64, &'static str, &'static str);

/// The only consumer of the feed.
pub(crate) const MESSENGER: &str = "messenger";

/// Returns the number in a key of a table keyed by (server, number).
pub(crate) fn number_of((_, number): (&str, u64)) -> u64 {
    number
}

/// Returns the key range of all rows of a server in a table keyed by (server, number).
pub(crate) fn all_of(server: &str) -> std::ops::RangeInclusive<(&str, u64)> {
    (server, 0)..=(server, u64::MAX)
}

/// Returns the key range of a server's rows in [`DELIVERED`] that may hold items from `first` on.
pub(crate) fn deliveries_from(server: &str, first: u64) -> std::ops::RangeInclusive<(&str, u64, u64)> {
    (server, first, 0)..=(server, u64::MAX, u64::MAX)
}

/// Returns the servers that have rows in a table of which `first` returns the server of the first row from a bound on, with one
/// lookup each, however many rows they have.
pub(crate) fn servers_by(
    first: impl Fn(Bound<(&str, u64)>) -> Result<Option<String>, redb::Error>,
) -> Result<Vec<String>, redb::Error> {
    let mut servers: Vec<String> = Vec::new();
    loop {
        let from = servers.last().map_or(Bound::Unbounded, |last| Bound::Excluded((last.as_str(), u64::MAX)));
        match first(from)? {
            Some(server) => servers.push(server),
            None => return Ok(servers),
        }
    }
}

/// Returns the smallest text that is greater than every key that begins with this context id: ids contain no control
/// characters. All rows of a context lie between its id and this text.
pub(crate) fn after(context: &str) -> String {
    format!("{context}\0")
}

/// A type of keys whose tables threads may share.
pub(crate) trait RowKey: Key + Send + Sync + 'static {}

impl<T: Key + Send + Sync + 'static> RowKey for T {}

/// A type of values whose tables threads may share.
pub(crate) trait RowValue: Value + Send + Sync + 'static {}

impl<T: Value + Send + Sync + 'static> RowValue for T {}

/// An operation that is applied to each table in turn.
pub(crate) trait TableVisitor {
    /// Error that ends the visit early.
    type Error;

    /// Visits the next table.
    fn visit<K: RowKey, V: RowValue>(&mut self, table: TableDefinition<'static, K, V>) -> Result<(), Self::Error>;
}

/// Table that the file writes in blocks -> number of its rows that are in blocks. Owner: the checkpoints. Bound: one row a table.
/// Trimmed: never.
pub(crate) const BLOCK_ROWS: TableDefinition<&str, u64> = TableDefinition::new("block_rows");

/// The rows of a table that the file keeps in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockUse {
    /// All rows. They are appended in the order of their keys, and most leave from the front.
    Everything,
    /// Rows that are written next to each other. Rows may also come between others, where a block would have to be written anew
    /// for each: these are alone.
    Runs,
}

/// The tables whose rows the file keeps in blocks, each with the table of the blocks.
const IN_BLOCKS: [(&str, &str, BlockUse); 6] = [
    ("outbox", "outbox_blocks", BlockUse::Everything),
    ("items", "item_blocks", BlockUse::Everything),
    ("feed", "feed_blocks", BlockUse::Everything),
    ("pdus", "pdu_blocks", BlockUse::Runs),
    ("timeline", "timeline_blocks", BlockUse::Runs),
    ("seen", "seen_blocks", BlockUse::Runs),
];

/// Returns the name of the table that holds the rows of this table in blocks, and which rows; `None`: it has rows alone.
pub(crate) fn blocks_of(table: &str) -> Option<(&'static str, BlockUse)> {
    IN_BLOCKS.iter().find(|(name, ..)| *name == table).map(|(_, blocks, rows)| (*blocks, *rows))
}

/// Visits every table. Code that creates, copies or measures tables uses this function, so that no new table is missed.
pub(crate) fn each<T: TableVisitor>(visit: &mut T) -> Result<(), T::Error> {
    visit.visit(META)?;
    visit.visit(PEERS)?;
    visit.visit(OUTBOX)?;
    visit.visit(ITEMS)?;
    visit.visit(INBOUND_DIGESTS)?;
    visit.visit(SUBMISSIONS)?;
    visit.visit(FEED)?;
    visit.visit(FEED_CURSOR)?;
    visit.visit(PUSH_IDS)?;
    visit.visit(REFUSED_EVENTS)?;
    visit.visit(RELEASED_EVENTS)?;
    visit.visit(QUARANTINE)?;
    visit.visit(REQUESTED_RECEIPTS)?;
    visit.visit(DEAD_LETTERS)?;
    visit.visit(ATTEMPTS)?;
    visit.visit(DELIVERED)?;
    visit.visit(OUTBOUND_TRANSACTIONS)?;
    visit.visit(INBOUND_TRANSACTIONS)?;
    visit.visit(PDUS)?;
    visit.visit(TIMELINE)?;
    visit.visit(CONTEXTS)?;
    visit.visit(HELD)?;
    visit.visit(GAPS)?;
    visit.visit(STATE)?;
    visit.visit(STATE_PDUS)?;
    visit.visit(STATE_LINKS)?;
    visit.visit(QUARANTINE_BY_CONTEXT)?;
    visit.visit(HEADS)?;
    visit.visit(CONTEXT_WORK)?;
    visit.visit(STAGE)?;
    visit.visit(STAGE_IDS)?;
    visit.visit(NONCES)?;
    visit.visit(SEEN_FORWARDS)?;
    visit.visit(SEEN_FORWARD_IDS)?;
    visit.visit(HELD_FORWARDS)
}
