//! The real binary as child processes on loopback: kills, stops, full disks, wrong configurations, hostile requests.

mod backoff;
mod commands;
mod damaged;
mod dead;
mod disk;
mod doors;
mod failures;
mod kills;
mod log;
mod malformed;
mod node;
mod operator;
mod outage;
mod process;
mod raw;
mod seen;
mod sim;
mod simulated;
mod stop;
mod talk;
mod toy;
mod wire;
