//! Two peer machines that exchange updates over a lossy link.

pub(crate) mod two_machines;
