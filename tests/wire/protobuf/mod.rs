//! The updates dialect in Protobuf: golden vectors that an independent implementation wrote, broken bodies, and the handler.

mod handler;
mod vectors;
