//! The sections of what an operator watches: the logs, the metrics and the traces.

pub(crate) mod log;
pub(crate) mod metrics;
pub(crate) mod otlp;
