//! An inbound batch of any form: its PDUs by position.

use crate::model::{BadPdu, ContextId, InboundPush, InboundTransaction, Pdu, StrongBody};
use crate::peer::effect::Pull;

/// An inbound batch: what the peer sends in one request, or returns to one.
#[derive(Debug, Clone)]
pub enum InboundBatch {
    /// A push of the updates dialect.
    Push(InboundPush),
    /// A transaction of the transactions dialect.
    Transaction(InboundTransaction),
    /// PDUs of a `pull` response, the request, and the transaction id after which the peer has more.
    Pulled(Vec<Result<Pdu, BadPdu>>, Pull, Option<u64>),
}

impl InboundBatch {
    /// Returns the number of its entries.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Push(push) => push.strong.len(),
            Self::Transaction(transaction) => transaction.pdus.len(),
            Self::Pulled(pdus, ..) => pdus.len(),
        }
    }

    /// Returns the PDU at this position, if it is a valid one.
    pub(super) fn pdu(&self, place: usize) -> Option<&Pdu> {
        match self {
            Self::Push(push) => match &push.strong[place].body {
                StrongBody::Pdu(pdu) => Some(pdu),
                StrongBody::Plain | StrongBody::BadPdu(_) | StrongBody::NotAnObject(_) => None,
            },
            Self::Transaction(transaction) => transaction.pdus[place].as_ref().ok(),
            Self::Pulled(pdus, ..) => pdus[place].as_ref().ok(),
        }
    }

    /// Returns the contexts of its PDUs.
    pub fn contexts(&self) -> impl Iterator<Item = &ContextId> {
        (0..self.len()).filter_map(|place| Some(&self.pdu(place)?.context))
    }

    /// Returns the method by which the sender was authenticated.
    pub(super) const fn verified(&self) -> &'static str {
        match self {
            Self::Push(push) => push.verified,
            Self::Transaction(transaction) => transaction.verified,
            // The response came from the peer's own address.
            Self::Pulled(..) => "network",
        }
    }
}
