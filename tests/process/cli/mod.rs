//! The command line: exit codes, messages, and the demo.

mod checks;
mod commands;
mod doctor;
mod drain;
mod failures;
mod follow;
mod items;
mod keys;
mod operator;
mod secrets;
mod store;
mod talk;
mod terminal;
mod tokens;
mod verify;
