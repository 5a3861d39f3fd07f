//! The updates dialect at its edge: the published examples, everything odd that may arrive, and the handler's answers.

mod answers;
mod handler;
mod pushes;
mod sockets;
