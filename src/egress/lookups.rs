//! Names asked of the system, so many at a time.
//!
//! The system's look-up blocks a thread and cannot be called off: whoever has stopped waiting leaves it behind. The bound is on
//! the threads.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::threads::Threads;

/// Look-ups under way in this process; the next one waits, within its request's deadline.
const LOOKUPS_MAX: usize = 64;

static ROOM: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// After a burst of them idle threads end soon.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Nothing else runs on them: names that nobody answers for hold up no commit.
fn threads() -> io::Result<&'static Threads> {
    static THREADS: OnceLock<Threads> = OnceLock::new();
    if THREADS.get().is_none() {
        // Another one may come first; ours has no threads yet, then.
        let _ = THREADS.set(Threads::new("lookup", LOOKUPS_MAX, IDLE_FOR)?);
    }
    THREADS.get().ok_or_else(|| io::Error::other("no threads for look-ups"))
}

/// The addresses of a name.
pub(super) async fn of(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let room = ROOM.acquire().await.map_err(io::Error::other)?;
    let name = name.to_owned();
    let found = threads()?.run(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // In here: given back when the thread is, not when nobody waits any more.
        drop(room);
        found
    });
    found.await.map_err(io::Error::other)?
}
