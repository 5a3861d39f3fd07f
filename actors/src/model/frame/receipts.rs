//! Receipts: what a messenger has done with the items that a peer had sent for it, on the way back to that peer.

use crate::model::{PduRef, Seq};

/// The receipts of one request or answer. They are hints that may be repeated: taking them twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerReceipts {
    /// Numbers of strong updates that the messenger has acknowledged, as ranges, both ends included.
    pub numbers: Vec<(Seq, Seq)>,
    /// PDUs that it has acknowledged and that are known by no number.
    pub pdus: Vec<PduRef>,
    /// Items that it has refused.
    pub rejected: Vec<RejectedItem>,
}

/// An item that a messenger has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedItem {
    /// The item.
    pub item: ReceiptItem,
    /// Reason as the messenger gave it.
    pub reason: String,
}

/// An item as a receipt names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptItem {
    /// The strong update with this number.
    Number(Seq),
    /// A PDU.
    Pdu(PduRef),
}

impl PeerReceipts {
    /// No receipts.
    pub const NONE: Self = Self { numbers: Vec::new(), pdus: Vec::new(), rejected: Vec::new() };

    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.pdus.is_empty() && self.rejected.is_empty()
    }

    /// Returns whether a PDU is named by its identity.
    pub fn names_pdus(&self) -> bool {
        let is_pdu = |rejected: &RejectedItem| matches!(rejected.item, ReceiptItem::Pdu(_));
        !self.pdus.is_empty() || self.rejected.iter().any(is_pdu)
    }
}
