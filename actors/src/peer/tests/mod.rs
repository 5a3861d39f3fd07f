//! Two peer machines that talk to each other over a lossy link.

pub(crate) mod two_machines;
