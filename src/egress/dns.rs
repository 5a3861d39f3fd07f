//! DNS lookups through the system's resolver, limited in number.
//!
//! The system's lookup blocks a thread and cannot be cancelled: a caller that stops waiting leaves it running. So the
//! limit applies to threads, not to callers.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::runtime::blocking_pool::BlockingPool;

/// Maximum number of lookups in flight in this process; the next one waits within its request's deadline.
const LOOKUPS_MAX: usize = 64;

static ROOM: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

/// Idle time after which a thread ends.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Returns the threads for lookups. Nothing else runs on them, so that names without a responding server delay no
/// commit.
fn threads() -> io::Result<&'static BlockingPool> {
    static THREADS: OnceLock<BlockingPool> = OnceLock::new();
    if THREADS.get().is_none() {
        // Another caller may have set them first; this pool has no threads yet then.
        let _ = THREADS.set(BlockingPool::new("lookup", LOOKUPS_MAX, IDLE_FOR)?);
    }
    THREADS.get().ok_or_else(|| io::Error::other("the threads for name look-ups cannot start"))
}

/// Returns the addresses of a name.
pub(super) async fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let room = ROOM.acquire().await.map_err(io::Error::other)?;
    let name = name.to_owned();
    let found = threads()?.run(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
        // The permit is dropped inside the job: it is released when the blocking call ends, even if the caller has
        // timed out.
        drop(room);
        found
    });
    found.await.map_err(io::Error::other)?
}
