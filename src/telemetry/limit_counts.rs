//! The number of refusals by each limit, for `/metrics`.

pub use actors::supervise::limit_counts::LimitCounts;
