//! An inbound batch of any form: its PDUs by position.

use crate::errors::BatchError;
use crate::model::{
    BadPdu, ContextId, ForwardedUpdate, InboundPush, InboundTransaction, Pdu, PeerReceipts, StrongBody, UsedNonce,
};
use crate::peer::effect::{BatchReply, Pull, PushReply, TransactionReply};
use crate::reply_token::ReplyToken;

/// An inbound batch: what the peer sends in one request, with the token of its reply, or returns to one.
#[derive(Debug, Clone)]
pub enum InboundBatch {
    /// A push of the updates dialect.
    Push(InboundPush, ReplyToken<PushReply>),
    /// A transaction of the transactions dialect.
    Transaction(InboundTransaction, ReplyToken<TransactionReply>),
    /// Updates of the peer that another server passed on, as a push of the peer. `None`: they have waited here, and nobody waits
    /// for a reply.
    Forwarded(InboundPush, Option<ReplyToken<PushReply>>),
    /// PDUs of a `pull` response, the request, and the transaction id after which the peer has more.
    Pulled(Vec<Result<Pdu, BadPdu>>, Pull, Option<u64>),
}

impl InboundBatch {
    /// Returns the number of its entries.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Push(push, _) | Self::Forwarded(push, _) => push.strong.len(),
            Self::Transaction(transaction, _) => transaction.pdus.len(),
            Self::Pulled(pdus, ..) => pdus.len(),
        }
    }

    /// Returns the PDU at this position, if it is a valid one.
    pub(super) fn pdu(&self, place: usize) -> Option<&Pdu> {
        match self {
            Self::Push(push, _) | Self::Forwarded(push, _) => match &push.strong[place].body {
                StrongBody::Pdu(pdu) => Some(pdu),
                StrongBody::Plain
                | StrongBody::Group(_)
                | StrongBody::BadPdu(_)
                | StrongBody::Unsound(..)
                | StrongBody::Forward(_) => None,
            },
            Self::Transaction(transaction, _) => transaction.pdus[place].as_ref().ok(),
            Self::Pulled(pdus, ..) => pdus[place].as_ref().ok(),
        }
    }

    /// Returns its forwards with their positions.
    pub(crate) fn forwards_mut(&mut self) -> impl Iterator<Item = (usize, &mut ForwardedUpdate)> {
        let strong = match self {
            Self::Push(push, _) => &mut push.strong[..],
            Self::Forwarded(..) | Self::Transaction(..) | Self::Pulled(..) => &mut [],
        };
        strong.iter_mut().enumerate().filter_map(|(place, strong)| match &mut strong.body {
            StrongBody::Forward(forward) => Some((place, &mut **forward)),
            StrongBody::Plain
            | StrongBody::Group(_)
            | StrongBody::Pdu(_)
            | StrongBody::BadPdu(_)
            | StrongBody::Unsound(..) => None,
        })
    }

    /// Returns whether the peer itself has sent it to us, which shows that it runs and reaches us.
    pub const fn is_contact(&self) -> bool {
        !matches!(self, Self::Forwarded(..))
    }

    /// Returns the contexts of its PDUs.
    pub fn contexts(&self) -> impl Iterator<Item = &ContextId> {
        (0..self.len()).filter_map(|place| Some(&self.pdu(place)?.context))
    }

    /// Returns the reply that refuses the whole batch; `None` for a pull, for which nobody waits.
    pub(crate) fn refusal(&self, error: BatchError) -> Option<BatchReply> {
        match self {
            Self::Push(_, token) => Some(BatchReply::Push(*token, Err(error))),
            Self::Forwarded(_, token) => token.map(|token| BatchReply::Push(token, Err(error))),
            Self::Transaction(_, token) => Some(BatchReply::Transaction(*token, Err(error))),
            Self::Pulled(..) => None,
        }
    }

    /// Takes out the receipts for items of ours.
    pub(in crate::peer) fn take_receipts(&mut self) -> PeerReceipts {
        match self {
            Self::Push(push, _) => std::mem::take(&mut push.receipts),
            Self::Transaction(transaction, _) => std::mem::take(&mut transaction.receipts),
            Self::Forwarded(..) | Self::Pulled(..) => PeerReceipts::NONE,
        }
    }

    /// Returns the nonce of the request's signature.
    pub(super) const fn nonce(&self) -> Option<&UsedNonce> {
        match self {
            Self::Push(push, _) => push.nonce.as_ref(),
            Self::Transaction(transaction, _) => transaction.nonce.as_ref(),
            Self::Forwarded(..) | Self::Pulled(..) => None,
        }
    }

    /// Returns the method by which the sender was authenticated.
    pub(super) const fn verified(&self) -> &'static str {
        match self {
            Self::Push(push, _) | Self::Forwarded(push, _) => push.verified,
            Self::Transaction(transaction, _) => transaction.verified,
            // The response came from the peer's own address.
            Self::Pulled(..) => "network",
        }
    }
}
