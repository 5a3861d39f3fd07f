//! A real gateway and scripted servers of August 2014, byte for byte over sockets: one test for each oddity and each trap.
//!
//! The gateway is blue. The old servers are red and green: the bytes in `golden/` are what such a server sent; bodies that
//! a test changes are sent with the same heads.

mod asking;
mod batches;
mod bodies;
mod delivery;
mod gateway;
mod history;
mod old;
mod pdus;
mod replies;
