//! The number of files and sockets that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside the connections of peers: the store, the other listeners and our own requests.
const OTHER_DESCRIPTORS: u64 = 512;

/// Raises the soft limit to the hard one, and warns if that is too low for this many connections.
///
/// The soft limit is 1024 nearly everywhere, for programs that use `select`. Without descriptors no connection is accepted, so that
/// callers who say nothing would keep peers out long before `federation.connections_max` closes the connections of such callers.
pub(crate) fn raise(connections_max: usize) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let allowed = getrlimit(Resource::Nofile).current;
    let needed = (connections_max as u64).saturating_add(OTHER_DESCRIPTORS);
    if let Some(allowed) = allowed
        && allowed < needed
    {
        tracing::warn!(
            allowed,
            needed,
            "the process may open fewer files than federation.connections_max and the store need; raise the limit \
             (systemd: LimitNOFILE, shell: ulimit -Hn) or lower federation.connections_max"
        );
    }
}
