//! The fetched key directories of other servers, each kept for a time. Further questions share a running fetch.
//!
//! A fetch is a task of its own, so that it does not end with the request that began it. A failure is remembered for as long as the
//! pause between two fetches for an unknown key, because a caller can name any key.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actors::model::{DialectSpec, ServerName};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::identity::key_directories::directory_reader::read_directory;
use crate::identity::key_id::KeyId;
use crate::identity::origin_keys::{KeyLookup, KeyQuery, NoKeysError, OriginKeys};
use crate::identity::public_key::PeerKeys;

/// Maximum number of servers whose directories are kept. Each takes at most a few kilobytes.
const SERVERS_MAX: usize = 4_096;

/// A future that fetches a key directory, or says why it cannot.
pub type DirectoryFetch = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send>>;

/// The way to key directories, and the times of the configuration.
pub trait DirectorySource: Send + Sync + 'static {
    /// Fetches the directory of a server over verified TLS. A server that is not listed is found by the service of this dialect.
    fn fetch(&self, server: &ServerName, dialect: DialectSpec) -> DirectoryFetch;

    /// Admits one more fetch, of the directory of this server.
    fn admit(&self, _server: &ServerName) -> Result<(), NoKeysError> {
        Ok(())
    }

    /// Returns the maximum time that a request waits for the directory of this server.
    fn patience(&self, server: &ServerName) -> Duration;

    /// Returns the times of the configuration.
    fn times(&self) -> DirectoryTimes;
}

/// The times of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryTimes {
    /// Time for which a directory is kept (`network.keys_ttl`).
    pub ttl: Duration,
    /// Pause before a directory is fetched again for an unknown key or after a failure (`network.keys_retry`).
    pub retry: Duration,
}

/// The fetched key directories. Clones share them.
#[derive(Clone)]
pub struct KeyDirectories {
    source: Arc<dyn DirectorySource>,
    runtime: Handle,
    entries: Arc<Mutex<HashMap<ServerName, CachedDirectory>>>,
}

/// The state of one directory.
struct CachedDirectory {
    /// The keys, and when they were fetched.
    copy: Option<(PeerKeys, Instant)>,
    /// The failure of the newest fetch, and when it ended; `None`: it succeeded, or there was none.
    failure: Option<(Arc<str>, Instant)>,
    /// The end of the running fetch.
    running: Option<watch::Receiver<()>>,
    /// The newest question, because the entry that was not used for longest is removed first.
    used: Instant,
}

/// The reaction to a question.
enum LookupStep {
    Known(Result<PeerKeys, NoKeysError>),
    Wait(watch::Receiver<()>),
}

impl CachedDirectory {
    /// Returns the keys, unless they are older than this.
    fn fresh(&self, now: Instant, ttl: Duration) -> Option<&PeerKeys> {
        self.copy.as_ref().filter(|(_, fetched)| now.duration_since(*fetched) < ttl).map(|(keys, _)| keys)
    }

    /// Returns the end of the fetch that runs. One whose task was dropped runs no more.
    fn running(&self) -> Option<watch::Receiver<()>> {
        self.running.clone().filter(|end| end.has_changed().is_ok())
    }

    /// Returns whether a fetch may begin: the pause since a failure, or since the fetch of fresh keys, is over.
    fn may_fetch(&self, now: Instant, times: DirectoryTimes) -> bool {
        let newest = match (&self.failure, &self.copy) {
            (Some((_, ended)), _) => Some(*ended),
            (None, Some((_, fetched))) if now.duration_since(*fetched) < times.ttl => Some(*fetched),
            (None, _) => None,
        };
        newest.is_none_or(|newest| now.duration_since(newest) >= times.retry)
    }

    /// Returns whether the keys end soon, so that they are fetched before a request has to wait for them.
    fn ends_soon(&self, now: Instant, ttl: Duration) -> bool {
        self.copy.as_ref().is_some_and(|(_, fetched)| now.duration_since(*fetched) >= ttl * 3 / 4)
    }

    fn known(&self, now: Instant, ttl: Duration) -> Result<PeerKeys, NoKeysError> {
        match (self.fresh(now, ttl), &self.failure) {
            (Some(keys), _) => Ok(Arc::clone(keys)),
            (None, Some((why, _))) => Err(NoKeysError::Unreadable(Arc::clone(why))),
            (None, None) => Err(NoKeysError::Unreadable("the fetch was broken off".into())),
        }
    }
}

impl KeyDirectories {
    /// Returns directories of which none is fetched yet. Fetches run on this runtime.
    pub fn new(source: Arc<dyn DirectorySource>, runtime: Handle) -> Self {
        Self { source, runtime, entries: Arc::default() }
    }

    /// Returns the keys of a server that are kept, or fetches them.
    async fn keys(&self, query: KeyQuery<'_>) -> Result<PeerKeys, NoKeysError> {
        let mut end = match self.step(query) {
            LookupStep::Known(known) => return known,
            LookupStep::Wait(end) => end,
        };
        let patience = self.source.patience(query.server);
        if timeout_at(query.since + patience, end.changed()).await.is_err() {
            return Err(NoKeysError::TimedOut(patience));
        }
        let entries = self.entries.lock();
        match entries.get(query.server) {
            Some(entry) => entry.known(Instant::now(), self.source.times().ttl),
            None => Err(NoKeysError::Unreadable("it was displaced by those of other servers".into())),
        }
    }

    /// Returns what is known, or the end of a fetch, which begins if none runs.
    fn step(&self, query: KeyQuery<'_>) -> LookupStep {
        let (now, times) = (Instant::now(), self.source.times());
        let mut entries = self.entries.lock();
        if !entries.contains_key(query.server) && !make_room(&mut entries, now, times.ttl) {
            return LookupStep::Known(Err(NoKeysError::Unreadable("too many others are being fetched".into())));
        }
        let entry = entries.entry(query.server.clone()).or_insert_with(|| CachedDirectory {
            copy: None,
            failure: None,
            running: None,
            used: now,
        });
        entry.used = now;
        let running = entry.running();
        let is_known = entry.fresh(now, times.ttl).is_some_and(|keys| has_any(keys, query.wanted));
        if is_known {
            let is_due = running.is_none() && entry.ends_soon(now, times.ttl) && entry.may_fetch(now, times);
            if is_due && self.source.admit(query.server).is_ok() {
                self.begin(entry, query);
            }
            return LookupStep::Known(entry.known(now, times.ttl));
        }
        match running {
            Some(end) => LookupStep::Wait(end),
            None if entry.may_fetch(now, times) => match self.source.admit(query.server) {
                Ok(()) => LookupStep::Wait(self.begin(entry, query)),
                Err(refusal) => LookupStep::Known(Err(refusal)),
            },
            None => LookupStep::Known(entry.known(now, times.ttl)),
        }
    }

    fn begin(&self, entry: &mut CachedDirectory, query: KeyQuery<'_>) -> watch::Receiver<()> {
        let (ended, end) = watch::channel(());
        entry.running = Some(end.clone());
        let (this, server) = (self.clone(), query.server.clone());
        let fetch = self.source.fetch(&server, query.dialect);
        self.runtime.spawn(async move {
            let read = fetch.await.and_then(|json| read_directory(&json).map_err(|error| error.to_string()));
            this.end(&server, read);
            ended.send_replace(());
        });
        end
    }

    fn end(&self, server: &ServerName, read: Result<PeerKeys, String>) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(server) else { return };
        entry.running = None;
        match read {
            Ok(keys) => {
                tracing::debug!(%server, keys = keys.len(), "its key directory was read");
                (entry.copy, entry.failure) = (Some((keys, now)), None);
            }
            Err(why) => {
                tracing::warn!(%server, why, "its key directory cannot be read, so its signatures prove nothing");
                entry.failure = Some((why.into(), now));
            }
        }
    }
}

impl OriginKeys for KeyDirectories {
    fn keys_of<'a>(&'a self, query: KeyQuery<'a>) -> KeyLookup<'a> {
        Box::pin(self.keys(query))
    }
}

fn has_any(keys: &PeerKeys, wanted: &[KeyId]) -> bool {
    wanted.iter().any(|wanted| keys.iter().any(|(id, _)| id == wanted))
}

/// Makes room for one more server: the one without fresh keys that was not used for longest is removed, else the one with keys.
/// Returns false if all of them are being fetched.
fn make_room(entries: &mut HashMap<ServerName, CachedDirectory>, now: Instant, ttl: Duration) -> bool {
    if entries.len() < SERVERS_MAX {
        return true;
    }
    let idle = entries.iter().filter(|(_, entry)| entry.running().is_none());
    let oldest = idle.min_by_key(|(_, entry)| (entry.fresh(now, ttl).is_some(), entry.used));
    let Some(oldest) = oldest.map(|(server, _)| server.clone()) else { return false };
    entries.remove(&oldest);
    true
}
