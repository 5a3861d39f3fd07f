//! PDUs as JSON, the same in every dialect: one text read into a [`Pdu`] with its bytes put in order, one draft written.
//!
//! What is read is judged alone. Bytes in order means: the keys we know first and in one order, booleans and integers where
//! servers write `0`, `1` and `"10"`, no null, `[origin, id]` in each pair of parents, nothing that was meant for one server
//! alone; `content` and every key we do not know byte for byte. Bytes in order are read back as they stand. A peer that has its
//! own order in pairs is [`shown`] them in that.

mod compose;
mod fields;
mod membership;
mod pairs;
mod read;
mod state;
mod write;

pub use actors::limits::PairOrder;
pub use compose::Text;
pub use write::shown;

use actors::limits::Habits;
use actors::model::{ContextId, Digest, Pdu, PduRef, ServerName};
use actors::ports::ArchiveError;

use super::json::digest;
use crate::http::nesting::NESTING_MAX;

/// How deep a PDU may nest: what wraps it in the dialect that wraps it most comes on top.
pub const PDU_NESTING_MAX: usize = NESTING_MAX - 3;

/// Parents a PDU may name.
pub const PARENTS_MAX: usize = 20;

/// The most bytes of a type and of a state key, as of every id.
const NAME_BYTES_MAX: usize = 255;

/// Keys that mean something to one server alone: taken from nobody, passed on to nobody.
const FOR_ONE_SERVER: [&str; 3] = ["outlier", "destinations", "transaction_id"];

/// What the reader may ask about the world. Only ever asked about parents, whose pairs come in either order.
pub trait Acquaintance: Send + Sync + 'static {
    /// Whether this is our own name or that of a configured peer. In memory, at once.
    fn is_server(&self, name: &ServerName) -> bool;

    /// What this server does in its own way; nothing, where it is no peer. In memory, at once.
    fn habits(&self, server: &ServerName) -> Habits;

    /// Those of the PDUs that are known here; one look-up for all.
    fn known(&self, context: &ContextId, pdus: &[PduRef]) -> Result<Vec<PduRef>, ArchiveError>;

    /// Whether the server takes part in the conversation.
    fn takes_part(&self, context: &ContextId, server: &ServerName) -> Result<bool, ArchiveError>;
}

/// Whose PDUs are read, and what is known where they are read.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Who handed them to us.
    pub sender: &'a ServerName,
    /// What is known here.
    pub acquaintance: &'a dyn Acquaintance,
    /// How the sender writes the pairs in `prev_pdus`, where nothing in them tells.
    pub usual: PairOrder,
    /// The bytes are in order, as we store them: each pair is an origin and an id, whatever it looks like.
    pub in_order: bool,
}

impl<'a> Reader<'a> {
    /// A reader of what this server hands us.
    pub fn new(sender: &'a ServerName, acquaintance: &'a dyn Acquaintance) -> Self {
        Self { sender, acquaintance, usual: acquaintance.habits(sender).pairs, in_order: false }
    }
}

/// What identifies a PDU for telling a repeat: not its bytes, which servers on the way may put in order.
pub fn identity(pdu: &Pdu) -> Digest {
    // No id holds a control character.
    digest(format!("pdu\n{}\n{}", pdu.reference.origin, pdu.reference.id).as_bytes())
}
