//! The command line: exit codes, messages, and the demo.

mod bulk;
mod checks;
mod commands;
mod drain;
mod failures;
mod keys;
mod messages;
mod operator;
mod peer_files;
mod secrets;
mod talk;
mod terminal;
