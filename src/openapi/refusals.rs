//! The refusals of operations: statuses and codes, in sets that follow the error types of the core.

/// Codes by status.
pub type RefusalSet = &'static [(u16, &'static [&'static str])];

/// Every call: a head that cannot be read, a path or a method that is not there, a bug.
pub const EVERY: RefusalSet = &[
    (400, &["BAD_REQUEST"]),
    (404, &["NO_ROUTE"]),
    (405, &["WRONG_METHOD"]),
    (408, &["HEAD_TIMEOUT"]),
    (431, &["HEAD_TOO_LARGE"]),
    (500, &["INTERNAL"]),
];

/// A call that needs a token.
pub const TOKEN: RefusalSet = &[(401, &["UNAUTHENTICATED"])];

/// A call with a query.
pub const QUERY: RefusalSet = &[(400, &["BAD_QUERY"])];

/// `UnavailableError`, and a store that cannot be read.
pub const UNAVAILABLE: RefusalSet =
    &[(503, &["BUSY", "DISK_LOW", "STRANGERS_ROWS", "OUTCOME_UNKNOWN", "STOPPING", "STORE_UNREADABLE"])];

/// `PeerError`.
pub const PEER: RefusalSet = &[UNAVAILABLE[0], (422, &["NOT_A_PEER", "DENIED"])];

/// `OutboxFullError`.
pub const OUTBOX: RefusalSet = &[(429, &["OUTBOX_FULL"])];

/// `CommandError`.
pub const COMMAND: RefusalSet = &[
    UNAVAILABLE[0],
    (404, &["UNKNOWN_ID"]),
    (422, &["NOT_A_PEER", "DENIED", "RENUMBER_MAX", "BAD_SEQ"]),
    OUTBOX[0],
    (503, &["FAULTY"]),
];

/// `ContextError`.
pub const CONTEXT: RefusalSet = &[
    UNAVAILABLE[0],
    (404, &["UNKNOWN_CONTEXT"]),
    (422, &["NOT_A_PEER", "DENIED", "TOO_MANY_PARTICIPANTS"]),
    (503, &["FAULTY"]),
];

/// `DraftError`.
pub const DRAFT: RefusalSet =
    &[(403, &["POWER_TOO_LOW"]), (422, &["NOT_A_PARTICIPANT", "TO_NOT_HONOURED", "STATE_NARROWED"])];

/// Another process owns the feed.
pub const FEED_OWNER: RefusalSet = &[(503, &["NOT_OURS"])];

/// Returns whether a set has a status with a code.
pub fn contains(set: RefusalSet, status: u16, code: &str) -> bool {
    set.iter().any(|(of, codes)| *of == status && codes.contains(&code))
}
