//! The ways by which gateways ask one another: comparisons of histories, and looking a caller up from outside.

pub(super) mod compare_line;
pub(super) mod outside_reach;
