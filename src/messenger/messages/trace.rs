//! `GET /v1/messages/{id}`: the delivery status of a submission, peer by peer.

use actix_web::{HttpResponse, web};
use actors::errors::{PeerError, UnavailableError};
use actors::gateway::Gateway;
use actors::model::{
    Attempt, DeadLetter, DeadLetterReason, Index, NO_PLAIN_FORM, PeerStatus, ServerName, SubmissionId, SubmissionRecord,
};
use actors::peer::receipts::settled_items::SettledItems;
use actors::ports::{ArchiveError, PeerReader};

use crate::api::messages::{AttemptRow, MessageTrace, RecipientTrace};
use crate::api::pdus::PduName;
use crate::http::error::ApiError;
use crate::messenger::MessengerApi;
use crate::messenger::answer::rfc3339;
use crate::messenger::peers::{reason, statuses};

impl RecipientTrace {
    /// Returns the status for a recipient that was skipped. An event gave the reason at that time.
    fn left_out() -> Self {
        let reason = "it was not queued on submit, because the outbox was full or the server is no peer; run `fernpost message retry ID`";
        Self {
            state: DeadLetterReason::Parked.state().into(),
            via: None,
            attempts: Vec::new(),
            next: None,
            reason: Some(reason.to_owned()),
        }
    }
}

impl RecipientTrace {
    /// Returns the status for a recipient without PDUs for which the message has no form.
    fn formless() -> Self {
        let state = DeadLetterReason::Refused.state().into();
        Self { state, attempts: Vec::new(), next: None, via: None, reason: Some(NO_PLAIN_FORM.to_owned()) }
    }
}

/// Returns the trace of a submission.
pub(crate) async fn get(api: web::Data<MessengerApi>, path: web::Path<String>) -> Result<HttpResponse, ApiError> {
    answer(&api.gateway, &path).await
}

/// Returns the trace of the submission with this id, as an answer.
pub(crate) async fn answer(gateway: &Gateway, id: &str) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(traced(gateway, id).await?))
}

/// Returns the trace of the submission with this id.
pub(crate) async fn traced(gateway: &Gateway, id: &str) -> Result<MessageTrace, ApiError> {
    let unknown = || ApiError::not_found("UNKNOWN_ID", format!("there is no submission {id:?}"));
    let id: SubmissionId = id.parse().map_err(|_| unknown())?;
    let ports = gateway.ports();
    let archive = &ports.archive;
    let record = archive.submissions.submission(&id).await?.ok_or_else(unknown)?;
    let servers = record.queued.iter().map(|(server, _)| server.clone()).collect();
    let mut seen = progress(gateway, servers).await?;
    for ((server, _), seen) in record.queued.iter().zip(&mut seen) {
        for (first, last) in record.runs(server) {
            seen.letters.extend(archive.peers.dead_letters(server, first, last).await?);
            seen.attempts.extend(archive.peers.attempts(server, first, last).await?);
        }
        // An attempt that carried items of several runs was found once per run.
        seen.attempts.sort_by_key(|attempt| (attempt.time, attempt.first));
        seen.attempts.dedup();
        seen.dropped = record.dropped.contains(server);
    }
    Ok(trace(&id, &record, seen))
}

/// Returns the progress of the queues of these servers, in order. What it says of dead letters and attempts is committed then.
pub(crate) async fn progress(gateway: &Gateway, servers: Vec<ServerName>) -> Result<Vec<RecipientProgress>, ApiError> {
    let ports = gateway.ports();
    let peers = &*ports.archive.peers;
    let mut seen = Vec::with_capacity(servers.len());
    for (server, status) in statuses(gateway, servers, false).await {
        seen.push(match status {
            Ok(status) => RecipientProgress::from(status),
            Err(PeerError::UnknownPeer(_)) => RecipientProgress::without_actor(peers, &server, "not_a_peer").await?,
            Err(PeerError::Denied(_)) => RecipientProgress::without_actor(peers, &server, "denied").await?,
            Err(refusal) => return Err(refusal.into()),
        });
    }
    // Attempts and dead letters are read from the store, and an actor's newest ones may not be committed yet.
    ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
    Ok(seen)
}

impl From<Attempt> for AttemptRow {
    fn from(attempt: Attempt) -> Self {
        let code = attempt.code.map(|code| code.to_string());
        Self { time: rfc3339(attempt.time), result: attempt.result, code }
    }
}

/// The facts about a peer that a trace needs.
pub(crate) struct RecipientProgress {
    acked: Index,
    /// Ranges of items that the peer's messenger has acknowledged.
    settled: SettledItems,
    /// Attempts that carried an item of the message.
    attempts: Vec<Attempt>,
    next: Option<String>,
    reason: Option<&'static str>,
    /// Items that became dead letters, with the reason.
    letters: Vec<DeadLetter>,
    /// True if an operator deleted one of the items.
    dropped: bool,
    /// Server through which items went, and the index of the newest of them.
    relayed: Option<(ServerName, Index)>,
}

impl From<PeerStatus> for RecipientProgress {
    fn from(status: PeerStatus) -> Self {
        Self {
            acked: status.acked,
            settled: SettledItems::from_ranges(status.settled),
            attempts: Vec::new(),
            next: status.next_attempt.map(rfc3339),
            reason: reason(status.state),
            letters: Vec::new(),
            dropped: false,
            relayed: status.relayed,
        }
    }
}

impl RecipientProgress {
    /// Reads the facts from the store for a peer without an actor.
    async fn without_actor(
        peers: &dyn PeerReader,
        server: &ServerName,
        reason: &'static str,
    ) -> Result<Self, ArchiveError> {
        let row = peers.peer(server).await?.record;
        let (acked, settled) = row.map_or((Index(0), Vec::new()), |row| (row.outbound.acked, row.outbound.settled));
        let settled = SettledItems::from_ranges(settled);
        let (attempts, letters) = (Vec::new(), Vec::new());
        Ok(Self { acked, settled, attempts, next: None, reason: Some(reason), letters, dropped: false, relayed: None })
    }

    /// Returns the state of the delivery of items at these ranges of indexes, of which the first dead letter has this fate. A peer
    /// acknowledges in order, so one comparison of indexes is enough. A dead letter counts as acknowledged by its index, but is not: a
    /// single one decides the state of the whole submission, whatever the state of the other items. If all dead letters were
    /// requeued, the last of the new indexes decides.
    pub(crate) fn state(&self, runs: &[(Index, Index)], fate: Option<DeadLetterReason>, dropped: bool) -> &'static str {
        let last = last_of(runs);
        // A receipt that names a PDU by its identity may come before the acknowledgement of its number.
        let is_handed_over = runs.iter().all(|(first, last)| self.settled.has_all(first.0, last.0));
        match fate {
            Some(fate) => fate.state(),
            // A dropped item is lost for good: unlike a quarantined one it cannot be requeued.
            None if dropped => DeadLetterReason::Refused.state(),
            None if is_handed_over => "delivered",
            None if self.acked >= last => "acknowledged",
            None if self.relayed.as_ref().is_some_and(|(_, upto)| *upto >= last) => "relayed",
            None => "queued",
        }
    }
}

/// Returns the newest index of these ranges.
fn last_of(runs: &[(Index, Index)]) -> Index {
    runs.iter().map(|(_, last)| *last).max().unwrap_or(Index(0))
}

/// Builds the trace; `seen` is in the order of the record's servers.
fn trace(id: &SubmissionId, record: &SubmissionRecord, seen: Vec<RecipientProgress>) -> MessageTrace {
    let legs = record.queued.iter().zip(seen);
    let runs = |server| record.runs(server).collect::<Vec<_>>();
    let left_out = record.left_out.iter().map(|server| (server.to_string(), RecipientTrace::left_out()));
    let formless = record.formless.iter().map(|server| (server.to_string(), RecipientTrace::formless()));
    let legs = legs.map(|((server, _), seen)| (server.to_string(), leg(&runs(server), seen)));
    let peers = legs.chain(left_out).chain(formless).collect();
    let pdu = record.pdu.as_ref().map(PduName::from);
    MessageTrace { id: id.to_string(), accepted: rfc3339(record.accepted), pdu, peers }
}

/// Returns the status of the delivery to one peer. `runs` are the index ranges of its items.
fn leg(runs: &[(Index, Index)], seen: RecipientProgress) -> RecipientTrace {
    let state = seen.state(runs, seen.letters.first().map(|letter| letter.fate), seen.dropped);
    let attempts = seen.attempts.into_iter().map(AttemptRow::from).collect();
    let is_pending = matches!(state, "relayed" | "queued");
    let reason = match seen.letters.into_iter().next() {
        Some(letter) => Some(letter.reason),
        None if seen.dropped => Some("dropped by an operator".to_owned()),
        None => seen.reason.filter(|_| is_pending).map(str::to_owned),
    };
    let next = seen.next.filter(|_| is_pending);
    let via = seen.relayed.filter(|_| state == "relayed").map(|(via, _)| via.to_string());
    RecipientTrace { state: state.into(), via, attempts, next, reason }
}

#[cfg(test)]
mod tests {
    use actors::model::{Digest, Millis, PduRef, PeerState, Seq, SuspendReason};

    use super::*;

    fn status(server: &str, state: PeerState, acked: u64, attempts: Vec<Attempt>) -> RecipientProgress {
        let seen = RecipientProgress::from(PeerStatus {
            shut: None,
            server: server.parse().expect("valid"),
            state,
            since: Millis(0),
            backlog: 0,
            acked: Index(acked),
            oldest_unacknowledged: None,
            next_attempt: matches!(state, PeerState::Waiting).then_some(Millis(9_000)),
            last_success: None,
            failures: 0,
            last_error: None,
            last_code: None,
            expected_seq: Seq(1),
            next_seq: None,
            backlog_bytes: 0,
            settled: vec![],
            open: None,
            relayed: None,
        });
        RecipientProgress { attempts, ..seen }
    }

    fn letter(index: u64, fate: DeadLetterReason, reason: &str) -> DeadLetter {
        DeadLetter { index: Index(index), fate, reason: reason.to_owned() }
    }

    fn attempt(first: u64, last: u64, result: &str) -> Attempt {
        Attempt { time: Millis(first), first: Index(first), last: Index(last), result: result.into(), code: None }
    }

    #[test]
    fn message_trace_names_its_pdu() {
        let id: SubmissionId = "m-1".parse().expect("valid");
        let reference = PduRef { origin: "red".parse().expect("valid"), id: "0190a1b2".parse().expect("valid") };
        let (digest, accepted) = (Digest([0; 16]), Millis(1_000));
        let record = SubmissionRecord {
            digest,
            accepted,
            queued: vec![],
            requeued: vec![],
            dropped: vec![],
            left_out: vec!["green".parse().expect("valid")],
            formless: vec!["gold".parse().expect("valid")],
            items: 1,
            pdu: Some(reference),
        };
        assert_eq!(
            serde_json::to_string(&trace(&id, &record, vec![])).expect("plain"),
            concat!(
                r#"{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","pdu":{"origin":"red","pdu_id":"0190a1b2"},"#,
                r#""peers":{"gold":{"state":"refused","attempts":[],"reason":"NO_PLAIN_FORM"},"green":{"state":"parked","attempts":[],"reason":"it was not queued on submit, because "#,
                r#"the outbox was full or the server is no peer; run `fernpost message retry ID`"}}}"#
            )
        );
    }

    #[test]
    fn trace_separates_states_and_attempts() {
        let id: SubmissionId = "m-1".parse().expect("valid");
        let queued = [("blue", 5), ("green", 1), ("grey", 7), ("pink", 1), ("plum", 3)];
        let record = SubmissionRecord {
            digest: Digest([0; 16]),
            accepted: Millis(1_000),
            queued: queued.map(|(server, first)| (server.parse().expect("valid"), Index(first))).into(),
            requeued: vec![("green".parse().expect("valid"), Index(2))],
            dropped: vec![],
            left_out: vec![],
            formless: vec![],
            items: 2,
            pdu: None,
        };
        let seen = vec![
            status("blue", PeerState::Waiting, 5, vec![attempt(3, 5, "ok"), attempt(6, 6, "wait 120")]),
            status("green", PeerState::Idle, 2, vec![attempt(1, 2, "ok")]),
            status("grey", PeerState::Suspended(SuspendReason::Refused), 6, vec![]),
            RecipientProgress {
                letters: vec![letter(2, DeadLetterReason::Parked, "refused with status 400: no")],
                ..status("pink", PeerState::Idle, 2, vec![])
            },
            RecipientProgress {
                letters: vec![letter(3, DeadLetterReason::Expired, "too old")],
                ..status("plum", PeerState::Waiting, 3, vec![])
            },
        ];
        assert_eq!(
            serde_json::to_string(&trace(&id, &record, seen)).expect("plain"),
            concat!(
                r#"{"id":"m-1","accepted":"1970-01-01T00:00:01.000Z","peers":{"#,
                r#""blue":{"state":"queued","attempts":[{"time":"1970-01-01T00:00:00.003Z","result":"ok"},"#,
                r#"{"time":"1970-01-01T00:00:00.006Z","result":"wait 120"}],"next":"1970-01-01T00:00:09.000Z"},"#,
                r#""green":{"state":"acknowledged","attempts":[{"time":"1970-01-01T00:00:00.001Z","result":"ok"}]},"#,
                r#""grey":{"state":"queued","attempts":[],"reason":"refused"},"#,
                r#""pink":{"state":"parked","attempts":[],"reason":"refused with status 400: no"},"#,
                r#""plum":{"state":"expired","attempts":[],"reason":"too old"}}}"#
            )
        );
    }

    #[test]
    fn requeued_item_tracks_new_index() {
        let again = |acked| {
            let status = status("blue", PeerState::Idle, acked, vec![]);
            leg(&[(Index(3), Index(4)), (Index(9), Index(9))], status).state
        };
        assert_eq!((again(8), again(9)), ("queued".into(), "acknowledged".into()));
    }
}
