//! How model types lie in rows. serde appears here only: rich, rare rows are JSON, hot ones are plain columns.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use actors::model::{
    Cause, Digest, FeedEntry, FeedItem, InboundRecord, Index, Millis, OutboundRecord, Parked, ParkedCode, PeerRecord,
    Position, Rest, Segment, Seq, ServerName, SubmissionRecord,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::tables::FeedValue;

/// A row that this program cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("a row of {table} cannot be understood: {why}")]
pub(super) struct BadRow {
    table: &'static str,
    why: String,
}

impl BadRow {
    pub(super) fn new(table: &'static str, why: &impl ToString) -> Self {
        Self { table, why: why.to_string() }
    }
}

#[derive(Serialize, Deserialize)]
struct PeerRow {
    outbound: OutboundRow,
    inbound: InboundRow,
}

#[derive(Serialize, Deserialize)]
struct OutboundRow {
    acked: u64,
    /// (first index, its number)
    segments: Vec<(u64, u64)>,
    window: Option<u32>,
    rest: RestRow,
    failures: u32,
    since: u64,
}

#[derive(Serialize, Deserialize)]
struct InboundRow {
    expected: u64,
    taken: u64,
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
    Faulty,
}

impl From<Rest> for RestRow {
    fn from(rest: Rest) -> Self {
        match rest {
            Rest::Ready => Self::Ready,
            Rest::Waiting { until } => Self::Waiting { until: until.0 },
            Rest::BackingOff { until } => Self::BackingOff { until: until.0 },
            Rest::Suspended { cause, probe_at } => {
                let cause = match cause {
                    Cause::Admin => CauseRow::Admin,
                    Cause::Unreachable => CauseRow::Unreachable,
                    Cause::Refused => CauseRow::Refused,
                    Cause::AheadOfUs => CauseRow::AheadOfUs,
                    Cause::Faulty => CauseRow::Faulty,
                };
                Self::Suspended { cause, probe_at: probe_at.map(|at| at.0) }
            }
        }
    }
}

impl From<RestRow> for Rest {
    fn from(row: RestRow) -> Self {
        match row {
            RestRow::Ready => Self::Ready,
            RestRow::Waiting { until } => Self::Waiting { until: Millis(until) },
            RestRow::BackingOff { until } => Self::BackingOff { until: Millis(until) },
            RestRow::Suspended { cause, probe_at } => {
                let cause = match cause {
                    CauseRow::Admin => Cause::Admin,
                    CauseRow::Unreachable => Cause::Unreachable,
                    CauseRow::Refused => Cause::Refused,
                    CauseRow::AheadOfUs => Cause::AheadOfUs,
                    CauseRow::Faulty => Cause::Faulty,
                };
                Self::Suspended { cause, probe_at: probe_at.map(Millis) }
            }
        }
    }
}

pub(super) fn peer_to_row(record: &PeerRecord) -> Vec<u8> {
    let out = &record.outbound;
    let row = PeerRow {
        outbound: OutboundRow {
            acked: out.acked.0,
            segments: out.segments.iter().map(|segment| (segment.first.0, segment.number.0)).collect(),
            window: out.window,
            rest: out.rest.into(),
            failures: out.failures,
            since: out.since.0,
        },
        inbound: InboundRow { expected: record.inbound.expected.0, taken: record.inbound.taken },
    };
    serde_json::to_vec(&row).expect("numbers and fixed words always serialize")
}

pub(super) fn peer_from_row(server: ServerName, row: &[u8]) -> Result<PeerRecord, BadRow> {
    let row: PeerRow = serde_json::from_slice(row).map_err(|error| BadRow::new("peers", &error))?;
    let segment = |(first, number)| Segment { first: Index(first), number: Seq(number) };
    let out = row.outbound;
    Ok(PeerRecord {
        server,
        outbound: OutboundRecord {
            acked: Index(out.acked),
            segments: out.segments.into_iter().map(segment).collect(),
            window: out.window,
            rest: out.rest.into(),
            failures: out.failures,
            since: Millis(out.since),
        },
        inbound: InboundRecord { expected: Seq(row.inbound.expected), taken: row.inbound.taken },
    })
}

pub(super) fn places_to_row(places: &[(&str, u64)]) -> Vec<u8> {
    serde_json::to_vec(places).expect("texts and numbers always serialize")
}

pub(super) fn submission_from_row(row: (u64, &[u8; 16], u32, &[u8])) -> Result<SubmissionRecord, BadRow> {
    let (accepted, digest, updates, places) = row;
    let places: Vec<(String, u64)> =
        serde_json::from_slice(places).map_err(|error| BadRow::new("submissions", &error))?;
    let queued = places.into_iter().map(|(server, first)| Ok((name("submissions", &server)?, Index(first))));
    let queued = queued.collect::<Result<_, BadRow>>()?;
    Ok(SubmissionRecord { digest: Digest(*digest), accepted: Millis(accepted), queued, updates })
}

pub(super) fn digests_to_row(digests: &[Digest]) -> Vec<u8> {
    digests.iter().flat_map(|digest| digest.0).collect()
}

/// The digests of a row; bytes that are no whole digest cannot have been written and are left out.
pub(super) fn digests_from_row(row: &[u8]) -> impl DoubleEndedIterator<Item = Digest> + ExactSizeIterator {
    let (whole, _) = row.as_chunks::<16>();
    whole.iter().map(|digest| Digest(*digest))
}

/// How many digests lie in a row.
pub(super) fn digests_len(row: &[u8]) -> u64 {
    (row.len() / 16) as u64
}

const UPDATE: u8 = 1;
const PARKED: u8 = 2;
const PEER: u8 = 3;
const NOTICE: u8 = 4;

pub(super) fn feed_to_row(time: u64, item: &FeedItem) -> <FeedValue as redb::Value>::SelfType<'_> {
    match item {
        FeedItem::Update { from, n, seq, verified, bytes } => {
            (UPDATE, time, *n, seq.0, from.as_str(), verified, "", bytes)
        }
        FeedItem::Parked(parked) => {
            let Parked { from, seq, code, reason, bytes } = parked;
            (PARKED, time, 0, seq.0, from.as_str(), code.as_str(), reason, bytes)
        }
        FeedItem::Peer { server, state, reason } => {
            (PEER, time, 0, 0, server.as_str(), state, reason.unwrap_or(""), &[])
        }
        FeedItem::Notice { text, server } => {
            (NOTICE, time, 0, 0, server.as_ref().map_or("", ServerName::as_str), "", text, &[])
        }
    }
}

pub(super) fn feed_from_row(position: u64, row: <FeedValue as redb::Value>::SelfType<'_>) -> Result<FeedEntry, BadRow> {
    let (kind, time, n, seq, server, word, note, body) = row;
    let bytes = || Bytes::copy_from_slice(body);
    let server_name = || name("feed", server);
    let optional = |text: &str| (!text.is_empty()).then(|| interned(text));
    let item = match kind {
        UPDATE => FeedItem::Update { from: server_name()?, n, seq: Seq(seq), verified: interned(word), bytes: bytes() },
        PARKED => FeedItem::Parked(Parked {
            from: server_name()?,
            seq: Seq(seq),
            code: parked_code(word)?,
            reason: note.to_owned(),
            bytes: bytes(),
        }),
        PEER => FeedItem::Peer { server: server_name()?, state: interned(word), reason: optional(note) },
        NOTICE if server.is_empty() => FeedItem::Notice { text: note.to_owned(), server: None },
        NOTICE => FeedItem::Notice { text: note.to_owned(), server: Some(server_name()?) },
        other => return Err(BadRow::new("feed", &format!("kind {other}"))),
    };
    Ok(FeedEntry { position: Position(position), time: Millis(time), item })
}

fn parked_code(word: &str) -> Result<ParkedCode, BadRow> {
    match word {
        "NOT_AN_OBJECT" => Ok(ParkedCode::NotAnObject),
        other => Err(BadRow::new("feed", &format!("code {other}"))),
    }
}

pub(super) fn name(table: &'static str, text: &str) -> Result<ServerName, BadRow> {
    text.parse().map_err(|error| BadRow::new(table, &format!("{text:?}: {error}")))
}

/// The fixed words of the model (`&'static str`), read back. Each word is leaked once; they are the program's own and few,
/// and a damaged file cannot make them many.
fn interned(word: &str) -> &'static str {
    const WORDS_MAX: usize = 256;
    static WORDS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let words = words.get_or_insert_default();
    match words.get(word) {
        Some(known) => known,
        None if words.len() >= WORDS_MAX => "unknown",
        None => {
            let word: &'static str = Box::leak(word.into());
            words.insert(word);
            word
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red() -> ServerName {
        "red.example".parse().expect("valid")
    }

    #[test]
    fn a_peer_record_survives_its_row_whatever_it_rests_on() {
        let causes = [Cause::Admin, Cause::Unreachable, Cause::Refused, Cause::AheadOfUs, Cause::Faulty];
        let suspended = causes.map(|cause| Rest::Suspended { cause, probe_at: Some(Millis(9)) });
        let others = [Rest::Ready, Rest::Waiting { until: Millis(7) }, Rest::BackingOff { until: Millis(8) }];
        for rest in others.into_iter().chain(suspended) {
            let mut record = PeerRecord::new(red());
            record.outbound.rest = rest;
            record.outbound.window = Some(20);
            record.outbound.segments.push(Segment { first: Index(40), number: Seq(u64::MAX) });
            record.inbound.expected = Seq(77);
            let back = peer_from_row(red(), &peer_to_row(&record)).expect("readable");
            assert_eq!(back, record);
        }
    }

    #[test]
    fn every_kind_of_feed_item_survives_its_row() {
        let bytes = Bytes::from_static(b"{ \"a\" : 1 }");
        let parked = Parked {
            from: red(),
            seq: Seq(4),
            code: ParkedCode::NotAnObject,
            reason: "a number".to_owned(),
            bytes: bytes.clone(),
        };
        for item in [
            FeedItem::Update { from: red(), n: 3, seq: Seq(4), verified: "certificate", bytes },
            FeedItem::Parked(parked),
            FeedItem::Peer { server: red(), state: "suspended", reason: Some("admin") },
            FeedItem::Peer { server: red(), state: "idle", reason: None },
            FeedItem::Notice { text: "the disk is nearly full".to_owned(), server: None },
            FeedItem::Notice { text: "its clock is off".to_owned(), server: Some(red()) },
        ] {
            let back = feed_from_row(5, feed_to_row(6, &item)).expect("readable");
            assert_eq!(back, FeedEntry { position: Position(5), time: Millis(6), item });
        }
    }

    #[test]
    fn a_row_of_a_later_program_is_an_error_and_no_panic() {
        assert!(peer_from_row(red(), b"{}").is_err());
        assert!(feed_from_row(1, (9, 0, 0, 0, "", "", "", &[])).is_err());
        assert!(submission_from_row((0, &[0; 16], 1, b"[[\"..\",1]]")).is_err());
    }
}
