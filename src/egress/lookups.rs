//! Names asked of the system, so many at a time.
//!
//! The system's look-up blocks a thread and cannot be called off: whoever has stopped waiting leaves it behind. The bound is on
//! the threads, so that names which nobody answers for do not take those that the store writes with.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::sync::Semaphore;

/// Look-ups under way in this process; the next one waits, within its request's deadline.
const LOOKUPS_MAX: usize = 64;

static ROOM: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// The addresses of a name.
pub(super) async fn of(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let room = ROOM.acquire().await.map_err(io::Error::other)?;
    let name = name.to_owned();
    let found = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // In here: given back when the thread is, not when nobody waits any more.
        drop(room);
        found
    });
    found.await.map_err(io::Error::other)?
}
