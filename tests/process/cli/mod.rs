//! The command line: exit codes, messages, and the demo.

mod backups;
mod checks;
mod commands;
mod doctor;
mod drain;
mod failures;
mod keys;
mod lines;
mod operator;
mod secrets;
mod talk;
mod terminal;
mod tokens;
