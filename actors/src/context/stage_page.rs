//! The stage of a context: one page of staged PDUs, and how far the stage is read.

use std::collections::BTreeSet;

use crate::model::{ParkedCode, Pdu, ServerName, StagedPdu};

/// A page of the stage.
#[derive(Debug, Clone, Default)]
pub struct StagePage {
    /// In order, each with its PDU, or why it cannot be given to the machine.
    pub pdus: Vec<(StagedPdu, Result<Pdu, ParkedCode>)>,
}

/// Progress of reading the stage.
#[derive(Debug, Default)]
pub(crate) struct StageReader {
    /// A page is being read.
    pub(crate) is_reading: bool,
    /// More was staged meanwhile.
    pub(crate) has_more: bool,
    /// The server that the last page ended with: the next page begins behind it.
    pub(crate) last_server: Option<ServerName>,
    /// Servers for which a notice was written that PDUs they handed over are refused and not kept.
    pub(crate) told_servers: BTreeSet<ServerName>,
}

impl StageReader {
    pub(crate) const fn is_reading(&self) -> bool {
        self.is_reading
    }
}
