//! The calls of peers: the gateway answers its own methods, the messenger all others.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::errors::{AdmissionError, UnavailableError};
use actors::model::{ServerName, UsedNonce};
use actors::ports::{CommitPriority, Ports};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::comparison::{CompareAnswerer, CompareRefusal};
use crate::rpc::call_body::CalledMethod;
use crate::rpc::call_register::{CallPermit, CallRegister};
use crate::rpc::gateway_method::{MethodOwner, owner};
use crate::rpc::reach_register::{ReachProbe, ReachRefusal, ReachRegister};
use crate::rpc::rpc_metrics::{RpcDirection, RpcResult};
use crate::rpc::{MessengerCall, MessengerFault, MessengerLine, RpcAnswer, RpcLimits};

/// Error: a call of a peer has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InboundRefusal {
    /// The body is no JSON object.
    #[error("the body is no JSON object: {0}")]
    NoObject(String),
    /// The gateway has no such method.
    #[error("the names that begin with \"fernpost.\" are the gateway's, and it has no method {0:?}")]
    UnknownMethod(String),
    /// The caller is not looked up.
    #[error(transparent)]
    Unreached(#[from] ReachRefusal),
    /// No messenger can be called.
    #[error("this server has no messenger that can be called (messenger.push)")]
    NoMessenger,
    /// A comparison of histories is not answered.
    #[error(transparent)]
    Compare(#[from] CompareRefusal),
    /// The nonce of the request cannot be stored, so a copy of the request could not be told from it.
    #[error(transparent)]
    NotStored(#[from] UnavailableError),
    /// The messenger has not answered.
    #[error(transparent)]
    Fault(#[from] MessengerFault),
}

/// A call as it came.
#[derive(Debug, Clone)]
pub struct ReceivedCallOfPeer {
    /// Peer that asks.
    pub from: ServerName,
    /// Nonce of the request's signature, if it has one.
    pub nonce: Option<UsedNonce>,
    /// Body, which has arrived just now.
    pub body: Bytes,
    /// Time from now in which the answer must be there.
    pub time: Duration,
    /// Maximum bytes of the answer.
    pub answer_max: usize,
}

/// Characters of a method's name that are shown.
const NAME_SHOWN: usize = 80;

/// Answers the calls of peers. Clones share the limits.
#[derive(Clone)]
pub struct InboundCalls {
    comparisons: CompareAnswerer,
    ports: Ports,
    register: Arc<CallRegister>,
    messenger: Option<Arc<dyn MessengerLine>>,
    /// The way to call peers from outside; `None`: there is none.
    probe: Option<Arc<dyn ReachProbe>>,
    reaches: Arc<ReachRegister>,
}

impl InboundCalls {
    /// Returns the calls of peers; `None`: there is no way to the messenger.
    pub fn new(ports: Ports, register: Arc<CallRegister>, messenger: Option<Arc<dyn MessengerLine>>) -> Self {
        let comparisons = CompareAnswerer::new(ports.clone());
        Self { comparisons, ports, register, messenger, probe: None, reaches: Arc::default() }
    }

    /// Adds the way by which peers are called that ask for it.
    #[must_use]
    pub fn reaching(self, probe: Arc<dyn ReachProbe>) -> Self {
        Self { probe: Some(probe), ..self }
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> RpcLimits {
        self.register.limits()
    }

    /// Admits a call of this peer.
    pub fn admit(&self, from: &ServerName) -> Result<CallPermit, AdmissionError> {
        self.register.admit(RpcDirection::In, from)
    }

    /// Answers a call. It is closed if the future is dropped.
    pub async fn answer(&self, call: ReceivedCallOfPeer) -> Result<RpcAnswer, InboundRefusal> {
        let ReceivedCallOfPeer { from, nonce, body, time, answer_max } = call;
        let until = Instant::now() + time;
        let CalledMethod { name } = CalledMethod::of(&body).map_err(InboundRefusal::NoObject)?;
        match owner(name.as_deref(), &self.ports.us, self.ports.clock.now()) {
            MethodOwner::Gateway(answer) => {
                return Ok(RpcAnswer { status: 200, retry_after: None, body: answer.into() });
            }
            MethodOwner::Comparison => {
                let compared = timeout_at(until, self.comparisons.answer(&from, &body, answer_max)).await;
                return match compared.unwrap_or(Err(CompareRefusal::Late)) {
                    Ok(answer) => Ok(RpcAnswer { status: 200, retry_after: None, body: answer.into() }),
                    Err(CompareRefusal::OtherProfile) => Err(InboundRefusal::UnknownMethod(name.unwrap_or_default())),
                    Err(refusal) => Err(refusal.into()),
                };
            }
            MethodOwner::Reach => return self.reach(&from, until).await,
            MethodOwner::Nobody => {
                let shown = name.unwrap_or_default().chars().take(NAME_SHOWN).collect();
                return Err(InboundRefusal::UnknownMethod(shown));
            }
            MethodOwner::Messenger => {}
        }
        let messenger = self.messenger.as_ref().ok_or(InboundRefusal::NoMessenger)?;
        let asked = async {
            if let Some(nonce) = nonce {
                self.store_nonce(nonce).await?;
            }
            Ok(messenger.ask(MessengerCall { from, body, until, answer_max }).await?)
        };
        timeout_at(until, asked).await.unwrap_or(Err(MessengerFault::TimedOut.into()))
    }

    /// Looks the caller up and calls it. Its name is that which it has proved; nothing in the body names another server.
    async fn reach(&self, from: &ServerName, until: Instant) -> Result<RpcAnswer, InboundRefusal> {
        let is_allowed = self.probe.is_some() && self.register.allows_reach(from);
        let _permit = self.reaches.admit(from, is_allowed)?;
        let probe = self.probe.as_ref().ok_or(ReachRefusal::NotAllowed)?;
        let report = timeout_at(until, probe.reach(from, until)).await.map_err(|_elapsed| MessengerFault::TimedOut)?;
        let body = serde_json::to_vec(&report).expect("texts and numbers into memory").into();
        Ok(RpcAnswer { status: 200, retry_after: None, body })
    }

    /// Stores the nonce of a signed call, so that a copy of it is refused after a crash, too: what the messenger does for a
    /// call may be no repeatable thing.
    async fn store_nonce(&self, nonce: UsedNonce) -> Result<(), UnavailableError> {
        let fence = self.ports.ownership.claim_feed().ok_or(UnavailableError::OutcomeUnknown)?;
        let ticket = self.ports.journal.submit(fence, vec![Change::NonceUsed(nonce)], CommitPriority::Now);
        ticket.committed().await.map_err(|_| UnavailableError::OutcomeUnknown)
    }
}

impl InboundRefusal {
    /// Returns the result under which the call is counted.
    pub const fn result(&self) -> RpcResult {
        match self {
            Self::NoObject(_) | Self::UnknownMethod(_) | Self::Unreached(ReachRefusal::NotAllowed) => {
                RpcResult::BadRequest
            }
            Self::Unreached(ReachRefusal::TooOften { .. } | ReachRefusal::Busy) => RpcResult::Busy,
            Self::Compare(CompareRefusal::Busy(_)) => RpcResult::Busy,
            Self::Compare(CompareRefusal::Late) => RpcResult::TimedOut,
            Self::Compare(CompareRefusal::Unreadable) => RpcResult::Unavailable,
            Self::Compare(_) => RpcResult::BadRequest,
            Self::NoMessenger | Self::NotStored(_) | Self::Fault(MessengerFault::Down(_)) => RpcResult::Unavailable,
            Self::Fault(MessengerFault::BadAnswer(_)) => RpcResult::BadAnswer,
            Self::Fault(MessengerFault::TimedOut) => RpcResult::TimedOut,
        }
    }
}
