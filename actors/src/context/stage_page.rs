//! The stage of a context: one page of staged PDUs, and how far the stage is read.

use std::collections::BTreeSet;

use crate::model::{ParkedCode, Pdu, ServerName, StagedPdu};

/// A page of the stage.
#[derive(Debug, Clone, Default)]
pub struct StagePage {
    /// The PDUs in order, each readable or with the reason why it is not.
    pub pdus: Vec<(StagedPdu, Result<Pdu, ParkedCode>)>,
}

/// Progress of reading the stage.
#[derive(Debug, Default)]
pub(crate) struct StageReader {
    /// True while a page is read.
    pub(crate) is_reading: bool,
    /// True if more PDUs were staged meanwhile.
    pub(crate) has_more: bool,
    /// Server of the last page's last PDU; the next page begins after it.
    pub(crate) last_server: Option<ServerName>,
    /// Servers for which a notice reported that their PDUs are refused and not kept.
    pub(crate) told_servers: BTreeSet<ServerName>,
}

impl StageReader {
    pub(crate) const fn is_reading(&self) -> bool {
        self.is_reading
    }
}
