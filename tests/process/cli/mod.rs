//! The command line: exit codes, messages, and the demo.

mod checks;
mod commands;
mod drain;
mod failures;
mod follow;
mod keys;
mod operator;
mod secrets;
mod talk;
mod terminal;
