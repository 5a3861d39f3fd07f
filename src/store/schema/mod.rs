//! Tables and the rows in them.

pub(super) mod codec;
pub(crate) mod tables;
pub(crate) mod version;
