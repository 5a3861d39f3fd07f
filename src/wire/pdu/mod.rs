//! PDUs as JSON, the same in every dialect: reads a text into a [`Pdu`] with normalized bytes, and writes drafts.
//!
//! A PDU is checked on its own when it is read. Normalized means: the known keys come first and in a fixed order;
//! booleans and integers replace the `0`, `1` and `"10"` that servers write; there is no null; each pair of parents is
//! `[origin, id]`; keys that were meant for one server alone are removed. `content` and every unknown key stay byte for
//! byte. Normalized bytes are read back unchanged. [`shown`] converts them for a peer that uses another order in pairs.

mod compose;
pub(crate) mod forward_text;
mod membership;
mod pairs;
mod plain;
mod read;
pub mod reference_context;
pub mod relay_judge;
pub mod signer;
mod write;

pub use actors::limits::PairOrder;
pub use compose::ContentText;
pub use write::shown;

use actors::limits::{InteropQuirks, RelayPolicy};
use actors::model::{ContextId, DialectSpec, Digest, ForwardFacts, ForwardRoute, Pdu, PduRef, ServerName};
use actors::ports::{ArchiveError, Task};
use tokio::time::Instant;

use crate::json::nesting::NESTING_MAX;
use crate::json::reader::digest;
use crate::wire::pdu::relay_judge::RelayJudge;

/// Maximum nesting depth of a PDU: the remaining levels are for the envelope of the dialect that nests most.
pub const PDU_NESTING_MAX: usize = NESTING_MAX - 3;

/// Maximum number of parents of a PDU.
pub const PARENTS_MAX: usize = 20;

/// Maximum bytes of a type, a state key or an id.
const NAME_BYTES_MAX: usize = 255;

/// The reason for which a PDU is refused.
#[derive(Debug)]
struct FieldError {
    code: &'static str,
    reason: String,
}

/// Builds the reason why a PDU is invalid.
fn flaw(code: &'static str, reason: impl Into<String>) -> FieldError {
    FieldError { code, reason: reason.into() }
}

/// Keys that have a meaning for one server only: they are not accepted and not passed on.
const FOR_ONE_SERVER: [&str; 3] = ["outlier", "destinations", "transaction_id"];

/// Facts that decide the order of the pairs in `prev_pdus`, whose elements come in either order.
pub trait ReferenceContext: Send + Sync + 'static {
    /// Returns whether this is our own name or that of a configured peer. It must not block.
    fn is_server(&self, name: &ServerName) -> bool;

    /// Returns the interop quirks of a server; the defaults if it is no peer. It must not block.
    fn habits(&self, server: &ServerName) -> InteropQuirks;

    /// Returns the dialect in which a server is addressed; the default one if it is no peer. It must not block.
    fn dialect(&self, _server: &ServerName) -> DialectSpec {
        DialectSpec::UPDATES
    }

    /// Returns which PDUs of other origins are accepted from a server; the default if it is no peer. It must not block.
    fn relay_policy(&self, _server: &ServerName) -> RelayPolicy {
        RelayPolicy::default()
    }

    /// Returns whether groups of a server are contexts here. It must not block.
    fn maps_groups(&self, _server: &ServerName) -> bool {
        false
    }

    /// Returns what the configuration says about the two ends of a forward. It must not block.
    fn forward_facts(&self, _route: &ForwardRoute) -> ForwardFacts {
        ForwardFacts::default()
    }

    /// Returns the digest that identifies an update. A store that keeps none of them needs no key.
    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::sha256(bytes)
    }

    /// Returns those of the PDUs that are known here, with one lookup for all.
    fn known(&self, context: &ContextId, pdus: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>>;

    /// Returns whether the server participates in the context.
    fn takes_part(&self, context: &ContextId, server: &ServerName) -> Task<Result<bool, ArchiveError>>;
}

/// Reads the PDUs of one sender.
#[derive(Clone, Copy)]
pub struct PduReader<'a> {
    /// Server that sent the PDUs.
    pub sender: &'a ServerName,
    /// Facts about servers and PDUs.
    pub acquaintance: &'a dyn ReferenceContext,
    /// Judge of the PDUs that the sender did not make.
    pub judge: &'a dyn RelayJudge,
    /// Order of the pairs in `prev_pdus` that the sender usually writes, for pairs that give no indication.
    pub usual: PairOrder,
    /// Time at which reading began.
    pub since: Instant,
}

impl<'a> PduReader<'a> {
    /// Returns a reader for the PDUs that this server sends.
    pub fn new(sender: &'a ServerName, acquaintance: &'a dyn ReferenceContext, judge: &'a dyn RelayJudge) -> Self {
        let (usual, since) = (acquaintance.habits(sender).pairs, Instant::now());
        Self { sender, acquaintance, judge, usual, since }
    }

    /// Returns whether groups of the sender are contexts here.
    pub fn maps_groups(&self) -> bool {
        self.acquaintance.maps_groups(self.sender)
    }
}

/// Returns the digest that identifies a PDU, for detecting repeats. It does not cover the bytes, because servers on the
/// way may normalize them.
pub fn identity(pdu: &Pdu) -> Digest {
    // The separator is unambiguous: ids contain no control characters.
    digest(format!("pdu\n{}\n{}", pdu.reference.origin, pdu.reference.id).as_bytes())
}
