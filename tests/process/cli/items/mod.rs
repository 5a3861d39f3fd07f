//! The commands that select messages, queues and peers.

mod bulk;
mod messages;
mod peer_files;
