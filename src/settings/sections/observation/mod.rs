//! The sections of what an operator watches: the logs.

pub(crate) mod log;
