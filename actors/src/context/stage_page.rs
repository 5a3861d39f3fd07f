//! A page of the stage of a context.

use crate::model::{ParkedCode, Pdu, StagedPdu};

/// A page of the stage.
#[derive(Debug, Clone, Default)]
pub struct StagePage {
    /// The PDUs in order, each readable or with the reason why it is not.
    pub pdus: Vec<(StagedPdu, Result<Pdu, ParkedCode>)>,
}
