//! A real gateway and scripted servers of August 2014, byte for byte over sockets: one test for each oddity and each trap.
//!
//! The gateway is blue. The old servers are red and green: bytes in `golden/` are what such a server wrote on the wire; what a
//! test changes in them is written around the same heads.

mod asking;
mod batches;
mod bodies;
mod delivery;
mod gateway;
mod history;
mod old;
mod pdus;
mod replies;
