//! The properties of a dialect that the core knows. Only the code that sends its requests knows their form.

use std::fmt;

/// The properties of a dialect that decide how items are queued, numbered and sent. A new dialect states its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialectSpec {
    /// Name of the dialect, as in `peers.*.dialect`.
    pub name: &'static str,
    /// The way in which its batches are identified.
    pub numbering: NumberingScheme,
    /// True if it carries updates without a context. A dialect that does not carries ephemeral items as EDUs.
    pub carries_updates: bool,
}

/// The way in which the batches of a dialect are identified. It decides which [`BatchId`](crate::model::BatchId) a batch gets, how a
/// resend is recognised, and what a peer can say about missing batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberingScheme {
    /// Durable items are numbered 1, 2, 3 per peer; the peer says which number it expects.
    Sequence,
    /// Each batch has an id that rises with time; a resend carries the same id and the same items.
    TransactionIds,
}

impl DialectSpec {
    /// Numbered pushes of weak and strong updates.
    pub const UPDATES: Self = Self { name: "updates", numbering: NumberingScheme::Sequence, carries_updates: true };

    /// Transactions of PDUs, each with an id.
    pub const TRANSACTIONS: Self =
        Self { name: "transactions", numbering: NumberingScheme::TransactionIds, carries_updates: false };

    /// Returns whether the durable items are numbered one by one.
    pub fn numbers_items(&self) -> bool {
        self.numbering == NumberingScheme::Sequence
    }
}

impl fmt::Display for DialectSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
