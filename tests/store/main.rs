//! The store against its promises, on disks in memory that fail and lose power when told.

#[path = "../support/disk.rs"]
mod disk;

mod budget;
mod crash;
mod laws;
mod opening;
mod reading;
mod trimming;
mod world;
