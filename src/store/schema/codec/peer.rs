//! Codec of the rows of peers and of submissions.

use actors::model::{
    DeliveredSpan, DeliveryState, Digest, HeldReceiptRecord, HeldRejection, InboundRecord, Index, Millis,
    NumberSegment, OutboundRecord, PeerRecord, RelayRecord, Seq, ServerName, SubmissionRecord, SuspendReason,
};
use serde::{Deserialize, Serialize};

use super::value::{BadRow, interned, name, reference};
use crate::store::schema::codec::columns::SubmissionValue;

#[derive(Serialize, Deserialize)]
struct PeerRow {
    outbound: OutboundRow,
    inbound: InboundRow,
}

#[derive(Serialize, Deserialize)]
struct OutboundRow {
    acked: u64,
    /// (first index, its sequence number)
    segments: Vec<(u64, u64)>,
    window: Option<u32>,
    rest: RestRow,
    failures: u32,
    since: u64,
    transaction_reserved: u64,
    transaction_last: Option<u64>,
    acked_bytes: u64,
    oldest: Option<u64>,
    newest: u64,
    /// Written by earlier versions in place of `told_suspension`, of which they know this one.
    #[serde(default, skip_serializing)]
    told_not_listed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told_suspension: Option<CauseRow>,
    #[serde(default)]
    last_success: Option<u64>,
    /// (time, first item, last item, response was not JSON)
    #[serde(default)]
    delivered: Vec<(u64, u64, u64, bool)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settled: Vec<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held: Vec<(u64, u64)>,
    /// (item, reason, named by its number)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    held_rejected: Vec<(u64, String, bool)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    told_from: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failing_since: Option<u64>,
    /// (server, newest index that it was given)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
struct InboundRow {
    expected: u64,
    taken: u64,
    pushes: bool,
    expect_applied: Option<u64>,
    begun: u64,
    #[serde(default)]
    catch_up: Option<u64>,
    #[serde(default)]
    restored: u64,
    #[serde(default)]
    ranges: bool,
    #[serde(default)]
    missed: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    catch_up_since: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    missed_since: u64,
    /// (number, code)
    #[serde(default)]
    parked: Vec<(u64, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
}

/// Used for fields that most peers do not have.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RestRow {
    Ready,
    Waiting { until: u64 },
    BackingOff { until: u64 },
    Suspended { cause: CauseRow, probe_at: Option<u64> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CauseRow {
    Admin,
    Unreachable,
    Refused,
    AheadOfUs,
    NotListed,
    Denied,
    Faulty,
}

/// The causes of the model and those of the rows are the same, so that the rows do not depend on the words of the API.
macro_rules! causes {
    ($($cause:ident),*) => {
        impl From<SuspendReason> for CauseRow {
            fn from(cause: SuspendReason) -> Self {
                match cause {
                    $(SuspendReason::$cause => Self::$cause,)*
                }
            }
        }

        impl From<CauseRow> for SuspendReason {
            fn from(cause: CauseRow) -> Self {
                match cause {
                    $(CauseRow::$cause => Self::$cause,)*
                }
            }
        }
    };
}

causes!(Admin, Unreachable, Refused, AheadOfUs, NotListed, Denied, Faulty);

impl From<DeliveryState> for RestRow {
    fn from(rest: DeliveryState) -> Self {
        match rest {
            DeliveryState::Ready => Self::Ready,
            DeliveryState::Waiting { until } => Self::Waiting { until: until.0 },
            DeliveryState::BackingOff { until } => Self::BackingOff { until: until.0 },
            DeliveryState::Suspended { cause, probe_at } => {
                Self::Suspended { cause: cause.into(), probe_at: probe_at.map(|at| at.0) }
            }
        }
    }
}

impl From<RestRow> for DeliveryState {
    fn from(row: RestRow) -> Self {
        match row {
            RestRow::Ready => Self::Ready,
            RestRow::Waiting { until } => Self::Waiting { until: Millis(until) },
            RestRow::BackingOff { until } => Self::BackingOff { until: Millis(until) },
            RestRow::Suspended { cause, probe_at } => {
                Self::Suspended { cause: cause.into(), probe_at: probe_at.map(Millis) }
            }
        }
    }
}

fn held_row(held: &HeldRejection) -> (u64, String, bool) {
    (held.index.0, held.reason.clone(), held.is_numbered)
}

fn held_from_row((index, reason, is_numbered): (u64, String, bool)) -> HeldRejection {
    HeldRejection { index: Index(index), reason, is_numbered }
}

pub(crate) fn peer_to_row(record: &PeerRecord) -> Vec<u8> {
    let out = &record.outbound;
    let row = PeerRow {
        outbound: OutboundRow {
            acked: out.acked.0,
            segments: out.segments.iter().map(|segment| (segment.first.0, segment.number.0)).collect(),
            window: out.window,
            rest: out.rest.into(),
            failures: out.failures,
            since: out.since.0,
            transaction_reserved: out.transaction_reserved,
            transaction_last: out.transaction_last,
            acked_bytes: out.acked_bytes,
            oldest: out.oldest_queued_at.map(|at| at.0),
            newest: out.highest_index_assigned.0,
            told_not_listed: false,
            told_suspension: out.told_suspension.map(CauseRow::from),
            last_success: out.last_success.map(|at| at.0),
            delivered: out.delivered.iter().map(|span| (span.time.0, span.first.0, span.last.0, span.blind)).collect(),
            settled: out.settled.clone(),
            held: out.held.delivered.clone(),
            held_rejected: out.held.rejected.iter().map(held_row).collect(),
            told_from: out.told_from.0,
            failing_since: out.relay.failing_since.map(|at| at.0),
            via: out.relay.via.as_ref().map(|(via, upto)| (via.to_string(), upto.0)),
        },
        inbound: InboundRow {
            expected: record.inbound.expected.0,
            taken: record.inbound.taken,
            pushes: record.inbound.numbers_pushes,
            expect_applied: record.inbound.expect_applied.map(|seq| seq.0),
            begun: record.inbound.contexts_created,
            catch_up: record.inbound.catch_up,
            restored: record.inbound.restored,
            ranges: record.inbound.sends_from_seq,
            missed: record.inbound.missed,
            catch_up_since: record.inbound.catch_up_since.0,
            missed_since: record.inbound.missed_since.0,
            parked: record.inbound.parked.iter().map(|(number, code)| (number.0, (*code).to_owned())).collect(),
            dialect: record.inbound.dialect.map(str::to_owned),
        },
    };
    serde_json::to_vec(&row).expect("numbers and fixed words always serialize")
}

/// Returns false if a peer's row certainly requires no pull; true means that the row must be decoded.
pub(crate) fn may_be_asked(row: &[u8]) -> bool {
    let says = |words: &str| row.windows(words.len()).any(|part| part == words.as_bytes());
    !(says("\"catch_up\":null") && says("\"missed\":null"))
}

/// Returns the server of a row and the dialect that the row keeps; `None`: it keeps none.
pub(crate) fn kept_dialect(server: &str, row: &[u8]) -> Result<Option<(ServerName, String)>, BadRow> {
    // Most rows keep none, and need not be decoded.
    if !row.windows(DIALECT_KEY.len()).any(|part| part == DIALECT_KEY) {
        return Ok(None);
    }
    let read: PeerRow = serde_json::from_slice(row).map_err(|error| BadRow::new("peers", &error))?;
    read.inbound.dialect.map(|dialect| Ok((name("peers", server)?, dialect))).transpose()
}

/// The beginning of the dialect in a row.
const DIALECT_KEY: &[u8] = b"\"dialect\":";

pub(crate) fn peer_from_row(server: ServerName, row: &[u8]) -> Result<PeerRecord, BadRow> {
    let row: PeerRow = serde_json::from_slice(row).map_err(|error| BadRow::new("peers", &error))?;
    let segment = |(first, number)| NumberSegment { first: Index(first), number: Seq(number) };
    let out = row.outbound;
    let delivered = |(time, first, last, blind)| {
        let (time, first, last) = (Millis(time), Index(first), Index(last));
        DeliveredSpan { time, first, last, blind }
    };
    let parked = row.inbound.parked.iter().map(|(number, code)| (Seq(*number), interned(code))).collect();
    Ok(PeerRecord {
        server,
        outbound: OutboundRecord {
            acked: Index(out.acked),
            segments: out.segments.into_iter().map(segment).collect(),
            window: out.window,
            rest: out.rest.into(),
            failures: out.failures,
            since: Millis(out.since),
            transaction_reserved: out.transaction_reserved,
            transaction_last: out.transaction_last,
            acked_bytes: out.acked_bytes,
            oldest_queued_at: out.oldest.map(Millis),
            highest_index_assigned: Index(out.newest),
            told_suspension: match out.told_suspension {
                Some(cause) => Some(cause.into()),
                None => out.told_not_listed.then_some(SuspendReason::NotListed),
            },
            last_success: out.last_success.map(Millis),
            delivered: out.delivered.into_iter().map(delivered).collect(),
            settled: out.settled,
            held: HeldReceiptRecord {
                delivered: out.held,
                rejected: out.held_rejected.into_iter().map(held_from_row).collect(),
            },
            told_from: Seq(out.told_from),
            relay: RelayRecord {
                failing_since: out.failing_since.map(Millis),
                via: out.via.map(|(via, upto)| Ok((name("peers", &via)?, Index(upto)))).transpose()?,
            },
        },
        inbound: InboundRecord {
            expected: Seq(row.inbound.expected),
            taken: row.inbound.taken,
            numbers_pushes: row.inbound.pushes,
            expect_applied: row.inbound.expect_applied.map(Seq),
            contexts_created: row.inbound.begun,
            catch_up: row.inbound.catch_up,
            restored: row.inbound.restored,
            sends_from_seq: row.inbound.ranges,
            missed: row.inbound.missed,
            catch_up_since: Millis(row.inbound.catch_up_since),
            missed_since: Millis(row.inbound.missed_since),
            parked,
            dialect: row.inbound.dialect.as_deref().map(interned),
        },
    })
}

pub(crate) fn places_to_row(places: &[(&str, u64)]) -> Vec<u8> {
    serde_json::to_vec(places).expect("texts and numbers always serialize")
}

/// Returns the indexes of a submission after its item at `from` moved to `to`. If the submission has one item, its
/// index is replaced; of several items, the moved one is added beside the others, which keep theirs. A dropped item
/// gets index 0, which no outbox row has.
pub(crate) fn place_moved(row: &[u8], items: u32, server: &str, from: u64, to: u64) -> Result<Vec<u8>, BadRow> {
    let mut places = read_places(row)?;
    let first = places.iter().position(|(name, _)| name == server);
    let exact = places.iter().position(|(name, place)| name == server && *place == from);
    match exact.filter(|at| to != DROPPED && (items == 1 || first != Some(*at))) {
        Some(at) => places[at].1 = to,
        None => places.push((server.to_owned(), to)),
    }
    Ok(serde_json::to_vec(&places).expect("texts and numbers always serialize"))
}

/// Index of an item that was dropped: outbox indexes start at 1.
pub(crate) const DROPPED: u64 = 0;

/// Index of an item that found no room in an outbox: no outbox reaches it.
pub(crate) const LEFT_OUT: u64 = u64::MAX;

/// Index of a message that has no form for the server: no outbox reaches it.
pub(crate) const FORMLESS: u64 = u64::MAX - 1;

fn read_places(row: &[u8]) -> Result<Vec<(String, u64)>, BadRow> {
    serde_json::from_slice(row).map_err(|error| BadRow::new("submissions", &error))
}

pub(crate) fn submission_from_row(row: SubmissionValue<'_>) -> Result<SubmissionRecord, BadRow> {
    let SubmissionValue { accepted, digest, items, places, origin, id } = row;
    let (mut queued, mut again): (Vec<(ServerName, Index)>, _) = (Vec::new(), Vec::new());
    let (mut dropped, mut left_out, mut formless) = (Vec::new(), Vec::new(), Vec::new());
    for (server, first) in read_places(places)? {
        let place = (name("submissions", &server)?, Index(first));
        // The first index of a server is where the whole submission was queued; further ones are items that were
        // requeued.
        match queued.iter().any(|(known, _)| *known == place.0) {
            _ if first == DROPPED => dropped.push(place.0),
            _ if first == LEFT_OUT => left_out.push(place.0),
            _ if first == FORMLESS => formless.push(place.0),
            false => queued.push(place),
            true => again.push(place),
        }
    }
    let pdu = (!id.is_empty()).then(|| reference("submissions", origin, id)).transpose()?;
    let (digest, accepted) = (Digest(*digest), Millis(accepted));
    Ok(SubmissionRecord { digest, accepted, queued, requeued: again, dropped, left_out, formless, items, pdu })
}

pub(crate) fn digests_to_row(digests: &[Digest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}

/// Returns the digests of a row. Trailing bytes that form no whole digest cannot have been written and are ignored.
pub(crate) fn digests_from_row(row: &[u8]) -> impl DoubleEndedIterator<Item = Digest> + ExactSizeIterator {
    let (whole, _) = row.as_chunks::<16>();
    whole.iter().map(|digest| Digest(*digest))
}

/// Returns the number of digests in a row.
pub(crate) fn digests_len(row: &[u8]) -> u64 {
    (row.len() / 16) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red() -> ServerName {
        "red.example".parse().expect("valid")
    }

    fn submission(items: u32, places: &[u8]) -> SubmissionValue<'_> {
        SubmissionValue { accepted: 0, digest: &[0; 16], items, places, origin: "", id: "" }
    }

    #[test]
    fn peer_record_row_round_trips() {
        let suspended =
            SuspendReason::ALL.iter().map(|&cause| DeliveryState::Suspended { cause, probe_at: Some(Millis(9)) });
        let others = [
            DeliveryState::Ready,
            DeliveryState::Waiting { until: Millis(7) },
            DeliveryState::BackingOff { until: Millis(8) },
        ];
        for rest in others.into_iter().chain(suspended) {
            let mut record = PeerRecord::new(red());
            record.outbound.rest = rest;
            record.outbound.window = Some(20);
            record.outbound.acked_bytes = 7_000;
            record.outbound.oldest_queued_at = Some(Millis(5));
            record.outbound.highest_index_assigned = Index(41);
            record.outbound.told_suspension = Some(SuspendReason::Denied);
            record.outbound.segments.push(NumberSegment { first: Index(40), number: Seq(u64::MAX) });
            record.outbound.settled = vec![(1, 7), (9, 9)];
            record.outbound.told_from = Seq(8);
            let held = HeldRejection { index: Index(12), reason: "no".to_owned(), is_numbered: true };
            record.outbound.held = HeldReceiptRecord { delivered: vec![(10, 11)], rejected: vec![held] };
            record.inbound.expected = Seq(77);
            record.inbound.expect_applied = Some(Seq(70));
            (record.inbound.catch_up, record.inbound.restored) = (Some(12), 13);
            (record.inbound.sends_from_seq, record.inbound.missed) = (true, Some(14));
            (record.inbound.catch_up_since, record.inbound.missed_since) = (Millis(15), Millis(16));
            record.inbound.parked = vec![(Seq(70), "POISON"), (Seq(76), "BAD_PDU")];
            record.inbound.dialect = Some("transactions");
            record.outbound.last_success = Some(Millis(15));
            record.outbound.relay.failing_since = Some(Millis(17));
            record.outbound.relay.via = Some((red(), Index(42)));
            let span = DeliveredSpan { time: Millis(15), first: Index(3), last: Index(4), blind: true };
            record.outbound.delivered = vec![span, DeliveredSpan { blind: false, ..span }];
            let back = peer_from_row(red(), &peer_to_row(&record)).expect("readable");
            assert_eq!(back, record);
            let kept = kept_dialect("red.example", &peer_to_row(&record)).expect("readable");
            assert_eq!(kept, Some((red(), "transactions".to_owned())));
            assert!(may_be_asked(&peer_to_row(&record)));
            (record.inbound.catch_up, record.inbound.missed) = (None, None);
            assert!(!may_be_asked(&peer_to_row(&record)), "nothing is left to ask it for");
        }
    }

    #[test]
    fn row_of_earlier_version_is_readable() {
        let text = String::from_utf8(peer_to_row(&PeerRecord::new(red()))).expect("text");
        assert!(!text.contains("told_"), "nothing was told: {text}");
        assert_eq!(kept_dialect("red.example", text.as_bytes()).expect("readable"), None);
        let earlier = text.replacen("\"acked\"", "\"told_not_listed\":true,\"acked\"", 1);
        let back = peer_from_row(red(), earlier.as_bytes()).expect("readable");
        assert_eq!(back.outbound.told_suspension, Some(SuspendReason::NotListed));
    }

    #[test]
    fn submission_row_keeps_requeues_and_drops() {
        let read = |row: &[u8], items| submission_from_row(submission(items, row)).expect("readable");
        let row = places_to_row(&[("red", 5), ("blue", 1)]);
        let place = |server: &str, index| (server.parse().expect("valid"), Index(index));
        let moved = place_moved(&row, 1, "red", 5, 9).expect("readable");
        assert_eq!(read(&moved, 1).queued, [place("red", 9), place("blue", 1)], "of one item");
        let moved = place_moved(&row, 3, "red", 5, 9).expect("readable");
        let moved = place_moved(&moved, 3, "red", 7, 10).expect("readable");
        let moved = place_moved(&moved, 3, "red", 9, 11).expect("readable");
        let moved = place_moved(&moved, 3, "blue", 1, DROPPED).expect("readable");
        let record = read(&moved, 3);
        assert_eq!(record.queued, [place("red", 5), place("blue", 1)], "of several");
        assert_eq!(record.requeued, [place("red", 11), place("red", 10)]);
        assert_eq!(record.dropped, ["blue".parse().expect("valid")]);
    }

    #[test]
    fn skipped_recipient_stays_until_queued() {
        let read = |row: &[u8]| submission_from_row(submission(1, row)).expect("readable");
        let row = places_to_row(&[("red", 5), ("blue", LEFT_OUT)]);
        let (red, blue) = ("red".parse().expect("valid"), "blue".parse().expect("valid"));
        assert_eq!((read(&row).queued, read(&row).left_out), (vec![(red, Index(5))], vec![blue]));
        let row = place_moved(&row, 1, "blue", LEFT_OUT, 7).expect("readable");
        assert_eq!((read(&row).queued.len(), read(&row).left_out), (2, vec![]));
    }

    #[test]
    fn future_record_row_is_error() {
        assert!(peer_from_row(red(), b"{}").is_err());
        assert!(submission_from_row(submission(1, b"[[\"..\",1]]")).is_err());
    }
}
