//! Faults and ends of a process: SIGKILL, SIGTERM, full disks, damaged stores, a log that cannot be written.

mod damaged;
mod disk;
mod kills;
mod log;
mod stop;
mod upgrade;
