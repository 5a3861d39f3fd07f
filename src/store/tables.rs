//! Every table, and who is answerable for its rows.
//!
//! Rows of a server are keyed by its *name*: a number for each server would shorten the key but need a table that gives the
//! numbers, a look-up before each write and a rule for names that go away. Within a server keys rise, and that is what a
//! commit costs: it pays for each page it dirties, hardly for a row, so what is written together lies together.

use std::ops::Bound;

use redb::{Key, ReadableTable, TableDefinition, Value};

/// (kind, time, n, seq, server, word, note, body): one form for all kinds, columns unused by a kind are 0 or empty.
pub(super) type FeedValue = (u8, u64, u64, u64, &'static str, &'static str, &'static str, &'static [u8]);

/// (accepted, digest, number of items for each server, JSON of the places in the outboxes, origin and id of the PDU it
/// became, empty where it became none).
pub(super) type SubmissionValue = (u64, &'static [u8; 16], u32, &'static [u8], &'static str, &'static str);

/// (time, seq of an update, JSON that names a PDU and is empty for an update, code, reason, body).
pub(super) type QuarantineValue = (u64, u64, &'static [u8], &'static str, &'static str, &'static [u8]);

/// What identifies a PDU: (origin, id).
pub(super) type RefValue = (&'static str, &'static str);

/// (queued at, bytes ever queued for the server up to and with it, queued again, item number, origin, id, submission): an
/// update has a number, a PDU has 0 and its two names. The sum tells what waits by two look-ups, however long the queue is.
pub(super) type OutboxValue = (u64, u64, bool, u64, &'static str, &'static str, &'static str);

/// (kind, when it left, reason, and then the outbox row it was: item number, origin, id, submission).
pub(super) type DeadLetterValue = (&'static str, u64, &'static str, u64, &'static str, &'static str, &'static str);

/// (time, first index, last index, result).
pub(super) type AttemptValue = (u64, u64, u64, &'static str);

/// (server, newest index, time of the last delivery).
pub(super) type DeliveredKey = (&'static str, u64, u64);

/// (context, is delivered, depth computed here with a highest bit where it came as history, who handed it over, how it was proved,
/// when it came, or once it is delivered when that was, parents, bytes). Without bytes it is forgotten: see `forget`.
pub(super) type PduValue = (&'static str, bool, u64, &'static str, &'static str, u64, &'static [u8], &'static [u8]);

/// (epoch, number since that opening, lies at the edge, depth over the delivered parents with a highest bit where only state rests
/// on it, piece of state, parents that are missing). The first two are the order of arrival: an opening's epoch is above all earlier ones, so nothing has to be read to
/// go on counting.
pub(super) type HeldValue = (u64, u64, bool, u64, &'static [u8], &'static [u8]);

/// (lies beyond the edge, children delivered without it).
pub(super) type GapValue = (bool, &'static [u8]);

/// (power, origin and id of the PDU it replaces, what that link is worth, server of the member it speaks of, whether that
/// joins): texts are empty where there is none.
pub(super) type PieceValue = (i64, &'static str, &'static str, u8, &'static str, bool);

/// Origin and id, and then the same.
pub(super) type HolderValue = (&'static str, &'static str, i64, &'static str, &'static str, u8, &'static str, bool);

/// A row of a key about one PDU: (context, type, key, origin, id).
pub(super) type PieceKey = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// (id, digest, JSON of the verdicts).
pub(super) type SeenValue = (&'static str, &'static [u8; 16], &'static [u8]);

/// A row of a conversation about one PDU: (context, origin, id).
pub(super) type PlaceKey = (&'static str, &'static str, &'static str);

/// A row of a conversation about one PDU as one server sent it: (context, origin, id, sender).
pub(super) type CopyKey = (&'static str, &'static str, &'static str, &'static str);

/// A row about a PDU that a server sent to a conversation: (context, server, origin, id).
pub(super) type StageIdKey = (&'static str, &'static str, &'static str, &'static str);

/// (origin, id, how its sender was proved, when it came, bytes).
pub(super) type StageValue = (&'static str, &'static str, &'static str, u64, &'static [u8]);

/// Schema version, own name, epoch; a time that is ahead of all deliveries; in a backup when it was taken; after a restore what
/// updates are counted from, and which positions of the feed were skipped. Owner: opening the store, and of that time the writer. Bound: a row for each of these. Trimmed: what marks a backup, by the opening that makes a store of it.
pub(super) const META: TableDefinition<&str, &str> = TableDefinition::new("meta");

/// Server -> its record as JSON. Owner: that peer's actor. Bound: one row a peer. Trimmed: never, the numbers in it must
/// outlive the peer's absence.
pub(super) const PEERS: TableDefinition<&str, &[u8]> = TableDefinition::new("peers");

/// (server, index) -> which item, and when it was queued. Owner: appended by the writer from submissions. Bound: `outbox_items` of the
/// peer unacknowledged, `retain_items` acknowledged. Trimmed: by that peer's actor.
pub(super) const OUTBOX: TableDefinition<(&str, u64), OutboxValue> = TableDefinition::new("outbox");

/// Item number -> (how many rows of `outbox` and `dead_letters` name it, bytes). Owner: the writer. Bound: the rows of these two.
/// Trimmed: by the writer, with the last row that names it.
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

/// (server, transaction id) -> (first index, last index): what an acknowledged transaction carried. Owner: that peer's actor.
/// Bound: the rows of `outbox`. Trimmed: by that actor, with the last of its rows.
pub(super) const SENT: TableDefinition<(&str, u64), (u64, u64)> = TableDefinition::new("sent");

/// (server, index) -> an item that this peer will not have; its row has left `outbox`, but for one it took and refused. Owner: that peer's actor. Bound:
/// `quarantine_items` of the peer. Trimmed: by the writer, the oldest goes as a new one comes.
pub(super) const DEAD_LETTERS: TableDefinition<(&str, u64), DeadLetterValue> = TableDefinition::new("dead_letters");

/// (server, number) -> an attempt to deliver that failed. Owner: that peer's actor. Bound: `attempts_keep` of the peer. Trimmed: by
/// the writer, the oldest goes as a new one comes.
pub(super) const ATTEMPTS: TableDefinition<(&str, u64), AttemptValue> = TableDefinition::new("attempts");

/// (server, newest index, time) -> deliveries up to that index, 25 bytes each. Owner: that peer's actor. Bound: a row for sixteen
/// deliveries within `submissions_keep`. Trimmed: by the messenger's housekeeping.
pub(super) const DELIVERED: TableDefinition<DeliveredKey, &[u8]> = TableDefinition::new("delivered");

/// (server, number) -> a transaction taken from it. Owner: that peer's actor. Bound: the newest `keep` of the peer. Trimmed: by
/// the writer, the oldest goes as a new one comes.
pub(super) const SEEN: TableDefinition<(&str, u64), SeenValue> = TableDefinition::new("seen");

/// (origin, id) -> a PDU, stored once. Owner: its context's actor. Bound: what was said. Trimmed: by the walk that forgets, after
/// `contexts.history.keep`, down to its name and depth; these never, others may send it again.
pub(super) const PDUS: TableDefinition<RefValue, PduValue> = TableDefinition::new("pdus");

/// (context, position) -> the PDU delivered there; what came as history stands from 0 downwards. Owner: that
/// context's actor. Bound: the delivered PDUs. Trimmed: with the text of the PDU.
pub(super) const TIMELINE: TableDefinition<(&str, i64), RefValue> = TableDefinition::new("timeline");

/// Context -> its record as JSON. Owner: that context's actor. Bound: one row a context. Trimmed: never.
pub(super) const CONTEXTS: TableDefinition<&str, &[u8]> = TableDefinition::new("contexts");

/// (context, origin, id) -> what a PDU waits for. Owner: that context's actor. Bound: `held_max` a context. Trimmed: by that
/// actor's deliveries.
pub(super) const HELD: TableDefinition<PlaceKey, HeldValue> = TableDefinition::new("held");

/// (context, origin, id) -> who was delivered without this parent. Owner: that context's actor. Bound: the parents given up.
/// Trimmed: by that actor, when the parent comes after all.
pub(super) const GAPS: TableDefinition<PlaceKey, GapValue> = TableDefinition::new("gaps");

/// (context, type, key) -> the PDU that holds this piece of state. Owner: that context's actor. Bound: the pieces of state ever
/// set. Trimmed: by that actor, where no PDU that counts is left.
pub(super) const STATE: TableDefinition<PlaceKey, HolderValue> = TableDefinition::new("state");

/// (context, type, key, origin, id) -> what counts of a delivered state PDU where forks of its key are decided. Owner: that
/// context's actor. Bound: the state PDUs delivered. Trimmed: never, a loser of today may be part of a branch that wins.
pub(super) const STATE_PDUS: TableDefinition<PieceKey, PieceValue> = TableDefinition::new("state_pdus");

/// (context, 1 where it was given up, origin, id) -> JSON of the keys in which a PDU says that it replaces this one, which was
/// not delivered. Owner: that context's actor. Bound: 10,000 a context. Trimmed: by that actor, when it comes.
pub(super) const STATE_LINKS: TableDefinition<(&str, u8, &str, &str), &[u8]> = TableDefinition::new("state_links");

/// (context, origin, id, sender) -> where a PDU of a server that took no part lies in the sender's `quarantine` (number), and its
/// place in the order of arrival (epoch, number since that opening). Owner: that context's actor. Bound: the rows it points at.
/// Trimmed: by the writer, with these.
pub(super) const STRANGERS: TableDefinition<CopyKey, (u64, u64, u64)> = TableDefinition::new("strangers_by_sender");

/// (context, origin, id) -> depth of an open end beyond the hundred that the row of its context holds: rows of their own, so that
/// a crowd of them does not make each commit write them all. Owner: that context's actor. Bound: `contexts.heads_max` a context.
/// Trimmed: by that actor, when it is named or moves up.
pub(super) const HEADS: TableDefinition<PlaceKey, u64> = TableDefinition::new("heads");

/// Context -> nothing: it has unfinished work that no other row tells of, a join or PDUs to be taken back from quarantine.
/// Owner: that context's actor. Bound: one row a context. Trimmed: by that actor, when the work is done.
pub(super) const CONTEXT_WORK: TableDefinition<&str, ()> = TableDefinition::new("context_work");

/// (context, server, number) -> a PDU that came from this server while the context was too busy to take it. Owner: appended by
/// that peer's actor. Bound: `contexts.stage_max` a context and server, and one batch. Trimmed: by the context's actor, as it
/// takes them.
pub(super) const STAGE: TableDefinition<(&str, &str, u64), StageValue> = TableDefinition::new("stage");

/// (context, server, origin, id) -> the number of this PDU in `stage`: tells a repeat, and how many there are. Owner, bound and
/// trimmed: as the rows it points at.
pub(super) const STAGE_IDS: TableDefinition<StageIdKey, u64> = TableDefinition::new("stage_ids");

/// The one consumer of today.
pub(super) const MESSENGER: &str = "messenger";

/// All rows of a server in a table keyed by (server, number).
pub(super) fn all_of(server: &str) -> std::ops::RangeInclusive<(&str, u64)> {
    (server, 0)..=(server, u64::MAX)
}

/// The rows of a server in [`DELIVERED`] that hold items from `first` on, and maybe later ones only.
pub(super) fn deliveries_from(server: &str, first: u64) -> std::ops::RangeInclusive<(&str, u64, u64)> {
    (server, first, 0)..=(server, u64::MAX, u64::MAX)
}

/// The servers that have rows in a table keyed by (server, number): one look-up each, however many rows they have.
pub(super) fn servers<V: Value + 'static>(
    table: &impl ReadableTable<(&'static str, u64), V>,
) -> Result<Vec<String>, redb::Error> {
    let mut servers: Vec<String> = Vec::new();
    loop {
        let from = servers.last().map_or(Bound::Unbounded, |last| Bound::Excluded((last.as_str(), u64::MAX)));
        let Some((key, _)) = table.range::<(&str, u64)>((from, Bound::Unbounded))?.next().transpose()? else {
            return Ok(servers);
        };
        servers.push(key.value().0.to_owned());
    }
}

/// The first text after a context's id that could begin another one: ids hold no control characters. All rows of a context lie
/// from the id to this.
pub(super) fn after(context: &str) -> String {
    format!("{context}\0")
}

/// Something done to each table in turn.
pub(super) trait Visit {
    /// Why it ends early.
    type Error;

    /// The next table.
    fn visit<K: Key + 'static, V: Value + 'static>(
        &mut self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), Self::Error>;
}

/// Visit every table there is. What makes, copies and measures tables goes this way, so that a new one is not forgotten.
pub(super) fn each<T: Visit>(visit: &mut T) -> Result<(), T::Error> {
    visit.visit(META)?;
    visit.visit(PEERS)?;
    visit.visit(OUTBOX)?;
    visit.visit(ITEMS)?;
    visit.visit(TAKEN)?;
    visit.visit(SUBMISSIONS)?;
    visit.visit(FEED)?;
    visit.visit(FEED_CURSOR)?;
    visit.visit(QUARANTINE)?;
    visit.visit(DEAD_LETTERS)?;
    visit.visit(ATTEMPTS)?;
    visit.visit(DELIVERED)?;
    visit.visit(SENT)?;
    visit.visit(SEEN)?;
    visit.visit(PDUS)?;
    visit.visit(TIMELINE)?;
    visit.visit(CONTEXTS)?;
    visit.visit(HELD)?;
    visit.visit(GAPS)?;
    visit.visit(STATE)?;
    visit.visit(STATE_PDUS)?;
    visit.visit(STATE_LINKS)?;
    visit.visit(STRANGERS)?;
    visit.visit(HEADS)?;
    visit.visit(CONTEXT_WORK)?;
    visit.visit(STAGE)?;
    visit.visit(STAGE_IDS)
}
