//! The dialects at the HTTP boundary: the published examples, every odd input, and the handlers' responses.

mod answers;
mod carried;
mod circle;
mod fetching;
mod handler;
mod pairs;
mod pdus;
mod proofs;
mod protobuf;
mod pushes;
mod raw_targets;
mod reading;
mod sending;
mod sockets;
mod transactions;
mod verdicts;
