//! The dialects at their edge: the published examples, everything odd that may arrive, and the handlers' answers.

mod answers;
mod carried;
mod circle;
mod fetching;
mod handler;
mod pairs;
mod pdus;
mod pushes;
mod raw_targets;
mod reading;
mod sending;
mod sockets;
mod transactions;
mod verdicts;
