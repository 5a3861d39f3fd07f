//! The sections of what an operator watches: the logs and the metrics.

pub(crate) mod log;
pub(crate) mod metrics;
