//! Verifies a context with a peer: reads what this side has, asks the peer, and orders the repair. It decides nothing: the machine of
//! the comparison does, and the context's actor about each PDU that comes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actors::errors::{AdmissionError, UnavailableError};
use actors::gateway::Gateway;
use actors::limits::verify::VerifyLimits;
use actors::model::{ContextId, Millis, PduRef, PduStatus, ServerName};
use actors::ports::{ArchiveError, Task};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::comparison::compare_machine::{CompareEffect, CompareMachine, CompareReply, CompareResult};
use crate::comparison::compare_wire::{CompareAnswer, CompareCall};
use crate::comparison::compared_set::CompareSalt;
use crate::comparison::set_reader::{AskedWindow, read_set};
use crate::comparison::verify_metrics::VerifyMetrics;
use crate::comparison::verify_report::{ComparisonReport, ComparisonVerdict, ListedPdus, RepairState, VerifyFailure};

/// Part of the time that is left for the repair, even if the comparison was slow.
const REPAIR_SHARE: u32 = 4;

/// The answer of a peer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerReply {
    /// Status of the answer.
    pub status: u16,
    /// JSON text.
    pub body: Bytes,
}

/// Error: a peer has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareLineFault {
    /// The peer is suspended.
    Suspended(String),
    /// Too many calls are under way.
    Busy(AdmissionError),
    /// There was no connection, or it broke.
    Unreachable(String),
    /// The answer is none.
    BadAnswer(String),
    /// There was no whole answer in time.
    TimedOut,
}

/// The way to peers.
pub trait CompareLine: Send + Sync + 'static {
    /// Calls a peer, at most once.
    fn ask(&self, peer: &ServerName, body: Bytes, until: Instant) -> Task<Result<PeerReply, CompareLineFault>>;
}

/// An order to verify a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOrder {
    /// Context to compare.
    pub context: ContextId,
    /// Participant to compare with.
    pub peer: ServerName,
    /// Length of the window; `None`: that of the configuration.
    pub window: Option<Duration>,
    /// True if what is missing here is fetched.
    pub repairs: bool,
}

/// Verifies contexts. Clones share the counts and the limit.
#[derive(Clone)]
pub struct ContextVerifier {
    gateway: Gateway,
    line: Arc<dyn CompareLine>,
    under_way: Arc<Mutex<Vec<ContextId>>>,
    metrics: Arc<VerifyMetrics>,
}

/// A verification under way, until it is dropped.
struct VerifyPermit {
    under_way: Arc<Mutex<Vec<ContextId>>>,
    context: ContextId,
}

impl Drop for VerifyPermit {
    fn drop(&mut self) {
        self.under_way.lock().retain(|context| *context != self.context);
    }
}

/// The code and the words of a refusal.
#[derive(Deserialize)]
struct RefusalBody {
    error: String,
    code: String,
}

impl ContextVerifier {
    /// Returns a verifier of a running gateway.
    pub fn new(gateway: Gateway, line: Arc<dyn CompareLine>) -> Self {
        Self { gateway, line, under_way: Arc::default(), metrics: Arc::default() }
    }

    /// Returns the counts.
    pub const fn metrics(&self) -> &Arc<VerifyMetrics> {
        &self.metrics
    }

    pub(crate) const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Compares a context with a peer, and fetches what is missing here.
    pub async fn verify(&self, order: VerifyOrder) -> Result<ComparisonReport, VerifyFailure> {
        let (context, peer) = (order.context.clone(), order.peer.clone());
        let ended = self.verified(order).await;
        self.metrics.note(&ended);
        match &ended {
            Ok(report) if report.result() == ComparisonVerdict::Differs => tracing::warn!(
                %context, %peer, missing_here = report.missing_here.count, missing_there = report.missing_there.count,
                repaired = report.repaired(), "the histories of a context differ"
            ),
            Ok(report) => tracing::info!(
                %context, %peer, result = report.result().as_str(), compared = report.here, calls = report.calls,
                "a context was verified"
            ),
            Err(error) => tracing::warn!(%context, %peer, %error, "a context cannot be verified"),
        }
        ended
    }

    async fn verified(&self, order: VerifyOrder) -> Result<ComparisonReport, VerifyFailure> {
        let ports = self.gateway.ports();
        let limits = ports.roster.contexts().verify.clone();
        let VerifyOrder { context, peer, window, repairs } = order;
        if !ports.roster.peer_limits(&peer)?.honours_to {
            return Err(VerifyFailure::NotFernpost(peer));
        }
        if !self.gateway.record(&context).await?.participants.contains(&peer) {
            return Err(VerifyFailure::NotAParticipant { server: peer, context });
        }
        let _permit = self.admit(&context, &limits)?;
        let end = Instant::now() + limits.timeout;
        let now = ports.clock.now();
        let to = before(now, limits.settle);
        let from = window.or(limits.window).map_or(Millis(0), |window| before(to, window));
        let asked = AskedWindow { context, peer, salt: salt(), from, to };
        let until = if repairs { end - limits.timeout / REPAIR_SHARE } else { end };
        let compared = timeout_at(until, self.compared(&asked, limits.clone())).await;
        let result = compared.map_err(|_elapsed| VerifyFailure::TimedOut(asked.peer.clone()))??;
        let mut report = self.report(asked, result).await?;
        report.repair = self.repaired(&report, repairs, limits.repair_max, end).await;
        Ok(report)
    }

    fn admit(&self, context: &ContextId, limits: &VerifyLimits) -> Result<VerifyPermit, VerifyFailure> {
        let mut under_way = self.under_way.lock();
        if under_way.len() >= limits.sets_max as usize || under_way.contains(context) {
            let (limit, value) = ("contexts.verify.sets_max", limits.sets_max.into());
            let wait = Duration::from_secs(5);
            return Err(VerifyFailure::Busy(AdmissionError::LimitReached { limit, value, wait }));
        }
        under_way.push(context.clone());
        Ok(VerifyPermit { under_way: self.under_way.clone(), context: context.clone() })
    }

    async fn compared(&self, asked: &AskedWindow, limits: VerifyLimits) -> Result<CompareResult, VerifyFailure> {
        let until = Instant::now() + limits.timeout;
        let (set, from) = read_set(self.gateway.ports(), asked).await.map_err(|error| unread(&error))?;
        let (mut machine, mut effect) = CompareMachine::begin(asked.salt, set, (from, asked.to), limits);
        loop {
            match effect {
                CompareEffect::Ask(ranges) => {
                    let call = CompareCall::new(asked.context.to_string(), asked.salt, machine.window(), ranges);
                    let body = serde_json::to_vec(&call).expect("texts and numbers into memory");
                    effect = machine.answered(self.asked(&asked.peer, body.into(), until).await?);
                }
                CompareEffect::End(result) => return Ok(result),
                CompareEffect::Fail(bad) => {
                    return Err(VerifyFailure::BadAnswer { server: asked.peer.clone(), why: bad.to_string() });
                }
            }
        }
    }

    async fn asked(&self, peer: &ServerName, body: Bytes, until: Instant) -> Result<CompareReply, VerifyFailure> {
        let server = peer.clone();
        let PeerReply { status, body } = match self.line.ask(peer, body, until).await {
            Ok(reply) => reply,
            Err(CompareLineFault::Suspended(words)) => return Err(VerifyFailure::Suspended(words)),
            Err(CompareLineFault::Busy(limit)) => return Err(VerifyFailure::Busy(limit)),
            Err(CompareLineFault::Unreachable(why)) => return Err(VerifyFailure::Unreachable { server, why }),
            Err(CompareLineFault::BadAnswer(why)) => return Err(VerifyFailure::BadAnswer { server, why }),
            Err(CompareLineFault::TimedOut) => return Err(VerifyFailure::TimedOut(server)),
        };
        if status != 200 {
            let said: RefusalBody = serde_json::from_slice(&body).map_err(|_| VerifyFailure::BadAnswer {
                server: server.clone(),
                why: format!("it answered with status {status}"),
            })?;
            return Err(VerifyFailure::Refused { server, code: said.code, words: said.error });
        }
        CompareAnswer::read(&body).map_err(|error| VerifyFailure::BadAnswer { server, why: error.to_string() })
    }

    /// Names the PDUs of a result. Those that came meanwhile are not missing.
    async fn report(&self, asked: AskedWindow, result: CompareResult) -> Result<ComparisonReport, VerifyFailure> {
        let contexts = &self.gateway.ports().archive.contexts;
        let CompareResult { from, here, there, calls, is_complete, missing_here, missing_there } = result;
        let known: HashMap<PduRef, PduStatus> = contexts
            .look_up(&asked.context, vec![], missing_here.listed.clone())
            .await
            .map_err(|error| unread(&error))?;
        let (mut listed, mut count) = (missing_here.listed, missing_here.count);
        listed.retain(|pdu| !known.contains_key(pdu));
        count = count.saturating_sub(known.len() as u64);
        let positions = missing_there.listed;
        let there_listed = contexts.timeline_refs(&asked.context, positions).await.map_err(|error| unread(&error))?;
        Ok(ComparisonReport {
            asked_from: asked.from,
            from,
            to: asked.to,
            context: asked.context,
            peer: asked.peer,
            here,
            there,
            calls,
            is_complete,
            missing_here: ListedPdus { listed, count },
            missing_there: ListedPdus { listed: there_listed, count: missing_there.count },
            repair: RepairState::NotNeeded,
        })
    }

    /// Has the missing PDUs fetched, and waits for them as long as there is time.
    async fn repaired(&self, report: &ComparisonReport, repairs: bool, max: u32, until: Instant) -> RepairState {
        let mut missing = report.missing_here.listed.clone();
        missing.truncate(max as usize);
        if missing.is_empty() {
            return RepairState::NotNeeded;
        }
        if !repairs {
            return RepairState::Left;
        }
        let count = missing.len() as u64;
        match timeout_at(until, self.gateway.repair(&report.context, &report.peer, missing)).await {
            Ok(Ok(outcome)) => RepairState::Ended(outcome),
            Ok(Err(error)) => RepairState::Refused(error),
            Err(_elapsed) => RepairState::Fetching(count),
        }
    }
}

fn before(at: Millis, time: Duration) -> Millis {
    Millis(at.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// Returns a salt that nobody can foresee.
fn salt() -> CompareSalt {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).expect("the system has random bytes");
    salt
}

fn unread(error: &ArchiveError) -> VerifyFailure {
    tracing::error!(%error, "the history that is to be compared cannot be read");
    VerifyFailure::Context(UnavailableError::OutcomeUnknown.into())
}
