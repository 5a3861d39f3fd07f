//! Output on a terminal: lines, tables, progress, questions and formatted values. Shared by the command line and the tools.

pub(crate) mod confirmation;
pub(crate) mod exit_code;
pub(crate) mod format;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod table;
