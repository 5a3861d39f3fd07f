//! Exit codes of commands.

/// Exit code: success.
pub(crate) const FINE: u8 = 0;

/// Exit code: a problem was found and reported.
pub(crate) const WRONG: u8 = 1;

/// Exit code: the command could not run.
pub(crate) const COULD_NOT_RUN: u8 = 2;
