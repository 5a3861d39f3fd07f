//! Judges PDUs whose origin is not their sender: such a PDU is accepted as the policy of the sender says, and the keys that
//! verify it are those of the origin; see `docs/protocol.md#relayed-pdus`.
//!
//! A PDU is judged when it is read, before its batch enters the core, and its verdict travels with it. The actors run on one
//! thread, and a verification takes up to a tenth of a millisecond, so that a batch of a thousand PDUs would hold up every
//! context. The verification runs on threads of its own instead, also for PDUs that the core's thread fetches.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::RelayPolicy;
use actors::model::{DialectSpec, ForwardProof, ParkedCode, PduProof, ServerName};
use actors::supervise::log_throttle::LogThrottle;
use tokio::time::Instant;

use crate::identity::key_id::{KeyId, KeyName};
use crate::identity::origin_keys::{KeyQuery, OriginKeys};
use crate::identity::pdu_signature::{PduSignatureError, StatedPduSignatures};
use crate::runtime::blocking_pool::BlockingPool;

/// A PDU that came from another server than its origin.
#[derive(Debug, Clone, Copy)]
pub struct RelayedPdu<'a> {
    /// Server that sent it, or answered with it.
    pub sender: &'a ServerName,
    /// Policy for PDUs that this server relays.
    pub policy: RelayPolicy,
    /// Server that the PDU names as its origin.
    pub origin: &'a ServerName,
    /// Dialect of the sender, whose service finds an origin that is not listed.
    pub dialect: DialectSpec,
    /// Time at which reading its batch began.
    pub since: Instant,
    /// The PDU as it came.
    pub text: &'a str,
}

/// A future that judges a PDU.
pub type PduVerification<'a> = Pin<Box<dyn Future<Output = PduProof> + Send + 'a>>;

/// A forward as its origin has signed it.
#[derive(Debug, Clone)]
pub struct SignedForward {
    /// Server that it names as its origin.
    pub origin: ServerName,
    /// Name of the key that signed it.
    pub key: KeyName,
    /// The signature.
    pub signature: [u8; 64],
    /// Text that is signed.
    pub text: Vec<u8>,
    /// Dialect whose service finds an origin that is not listed.
    pub dialect: DialectSpec,
    /// Time at which reading its batch began.
    pub since: Instant,
}

/// A future that verifies a forward.
pub type ForwardVerification<'a> = Pin<Box<dyn Future<Output = ForwardProof> + Send + 'a>>;

/// Judges PDUs whose origin is not their sender.
pub trait RelayJudge: Send + Sync + 'static {
    /// Returns what proves the PDU. A PDU of our own without our valid signature has no proof and no verdict here, because only
    /// its context knows whether we hold it.
    fn judge<'a>(&'a self, pdu: RelayedPdu<'a>) -> PduVerification<'a>;

    /// Verifies the signature of a forward with the keys of its origin.
    fn verify_forward(&self, forward: SignedForward) -> ForwardVerification<'_>;
}

/// The threads that verify signatures.
enum VerifierThread {
    /// On threads of their own.
    Pool(Arc<BlockingPool>),
    /// In the caller's own task, for a simulation, which must not depend on the order of threads.
    Caller,
}

/// Judges by the signatures of origins.
pub struct SignatureRelayJudge {
    us: ServerName,
    keys: Arc<dyn OriginKeys>,
    thread: VerifierThread,
    refused: LogThrottle,
}

/// Maximum number of signatures that are verified at the same time.
const THREADS_MAX: usize = 2;

/// Idle time after which a thread ends.
const IDLE_FOR: Duration = Duration::from_secs(10);

impl SignatureRelayJudge {
    /// Returns a judge with threads of its own. It fails if the system gives none.
    pub fn new(us: ServerName, keys: Arc<dyn OriginKeys>) -> io::Result<Self> {
        let pool = BlockingPool::new("pdu-signatures", THREADS_MAX, IDLE_FOR)?;
        Ok(Self::on(VerifierThread::Pool(Arc::new(pool)), us, keys))
    }

    /// Returns a judge that verifies in the task of its caller.
    pub fn inline(us: ServerName, keys: Arc<dyn OriginKeys>) -> Self {
        Self::on(VerifierThread::Caller, us, keys)
    }

    fn on(thread: VerifierThread, us: ServerName, keys: Arc<dyn OriginKeys>) -> Self {
        let refused = LogThrottle::new(|peer, count, last| {
            tracing::warn!(peer, count, last, "PDUs of other servers are not accepted from this peer");
        });
        Self { us, keys, thread, refused }
    }

    async fn verify(&self, pdu: RelayedPdu<'_>) -> Result<(), PduSignatureError> {
        let stated = StatedPduSignatures::read(pdu.text, pdu.origin)?;
        let wanted: Vec<KeyId> = stated.key_ids().cloned().collect();
        let query = KeyQuery { server: pdu.origin, wanted: &wanted, dialect: pdu.dialect, since: pdu.since };
        let keys = self.keys.keys_of(query).await.map_err(|error| stated.unknown_key(&error.to_string()))?;
        // Without a known key nothing is computed.
        stated.check_known(&keys)?;
        match &self.thread {
            VerifierThread::Caller => stated.verify(pdu.text, &keys),
            VerifierThread::Pool(pool) => {
                let text = pdu.text.to_owned();
                let verified = pool.run(move || stated.verify(&text, &keys)).await;
                // The pool has ended, because the gateway stops.
                verified.unwrap_or_else(|_| Err(PduSignatureError::Wrong("its signature was not verified".to_owned())))
            }
        }
    }
}

impl RelayJudge for SignatureRelayJudge {
    fn judge<'a>(&'a self, pdu: RelayedPdu<'a>) -> PduVerification<'a> {
        Box::pin(async move {
            let RelayedPdu { sender, policy, origin, .. } = pdu;
            let is_own = *origin == self.us;
            if policy == RelayPolicy::None && !is_own {
                let words = format!("PDUs of other servers are not accepted from {sender} (peers.accept_relayed)");
                return PduProof::missing(ParkedCode::RelayedNotAccepted, words);
            }
            match self.verify(pdu).await {
                Ok(()) => PduProof::Signature,
                Err(_) if is_own || policy == RelayPolicy::Any => PduProof::Sender,
                Err(error) => self.missing(sender, &error),
            }
        })
    }

    fn verify_forward(&self, forward: SignedForward) -> ForwardVerification<'_> {
        Box::pin(self.prove_forward(forward))
    }
}

impl SignatureRelayJudge {
    async fn prove_forward(&self, forward: SignedForward) -> ForwardProof {
        let SignedForward { origin, key, signature, text, dialect, since } = forward;
        if key.server != origin {
            return ForwardProof::Wrong(format!("its key {key} is not one of {origin}"));
        }
        let wanted = [key.id.clone()];
        let query = KeyQuery { server: &origin, wanted: &wanted, dialect, since };
        let keys = match self.keys.keys_of(query).await {
            Ok(keys) => keys,
            Err(error) => return ForwardProof::KeysUnknown(format!("no key {key} is known here; {error}")),
        };
        let Some((_, public)) = keys.iter().find(|(id, _)| *id == key.id) else {
            let advice = format!("pin it in peers.server.\"{origin}\".keys");
            return ForwardProof::KeysUnknown(format!("no key {key} is known here; {advice}"));
        };
        let verifies = match &self.thread {
            VerifierThread::Caller => public.verifies(&text, &signature),
            VerifierThread::Pool(pool) => {
                let public = *public;
                pool.run(move || public.verifies(&text, &signature)).await.unwrap_or(false)
            }
        };
        match verifies {
            true => ForwardProof::Signature,
            false => ForwardProof::Wrong(format!("its signature by {key} is not that of the forward")),
        }
    }

    fn missing(&self, sender: &ServerName, error: &PduSignatureError) -> PduProof {
        let code = match error {
            PduSignatureError::NotSigned(_) => ParkedCode::PduNotSigned,
            PduSignatureError::UnknownKey { .. } => ParkedCode::UnknownKey,
            PduSignatureError::Wrong(_) => ParkedCode::BadPduSignature,
        };
        let words = format!("it came from {sender}, which is not its origin, and {error}");
        self.refused.note(sender.as_str(), 1, &format!("{}: {words}", code.as_str()));
        PduProof::missing(code, words)
    }
}
