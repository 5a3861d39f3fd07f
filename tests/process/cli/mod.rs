//! The command line: exit codes, messages, and the demo.

mod commands;
mod failures;
mod operator;
mod talk;
