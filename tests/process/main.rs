//! The real binary as child processes on loopback: kills, stops, full disks, wrong configurations, hostile requests.

mod cli;
mod connector;
mod corpus;
mod faults;
mod fixtures;
mod install;
mod manual;
mod observation;
mod openapi;
mod page;
mod peers;
mod push;
mod receipts;
mod reload;
mod requests;
mod rpc;
mod soak;
mod tls;
