//! Names asked of the system, so many at a time.
//!
//! The system's look-up blocks a thread and cannot be called off: whoever has stopped waiting leaves it behind. The bound is on
//! the threads, so that names which nobody answers for do not take those that the store writes with.
//!
//! And they are threads of their own. A pool wakes its idle threads in turn: of the common one, on which commits run, none that a
//! burst of look-ups had left behind was ever idle for long enough to end.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// Look-ups under way in this process; the next one waits, within its request's deadline.
const LOOKUPS_MAX: usize = 64;

static ROOM: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// Idle threads end after this.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Where the threads come from. Nothing else runs on it.
fn threads() -> io::Result<&'static Handle> {
    static THREADS: OnceLock<Runtime> = OnceLock::new();
    if THREADS.get().is_none() {
        let mut threads = Builder::new_current_thread();
        let built =
            threads.thread_name("lookup").max_blocking_threads(LOOKUPS_MAX).thread_keep_alive(IDLE_FOR).build()?;
        // Another one may have come first; ours has no threads yet.
        if let Err(late) = THREADS.set(built) {
            late.shutdown_background();
        }
    }
    THREADS.get().map(Runtime::handle).ok_or_else(|| io::Error::other("no threads for look-ups"))
}

/// The addresses of a name.
pub(super) async fn of(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let room = ROOM.acquire().await.map_err(io::Error::other)?;
    let name = name.to_owned();
    let found = threads()?.spawn_blocking(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // In here: given back when the thread is, not when nobody waits any more.
        drop(room);
        found
    });
    found.await.map_err(io::Error::other)?
}
