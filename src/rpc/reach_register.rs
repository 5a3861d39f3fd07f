//! The calls by which peers ask to be looked up and called: who may, how often, and how many at once.

use std::collections::HashMap;
use std::time::Duration;

use actors::model::ServerName;
use actors::ports::Task;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::api::explain::reach_report::ReachReport;

/// Time between two such calls of a peer: an operator reads a report before the next one, and a caller that makes us connect to the
/// addresses of its choice more often than that gains a tool.
pub const REACH_PAUSE: Duration = Duration::from_secs(60);

/// Maximum number of such calls under way: each holds up to eight connections for seconds.
pub const REACH_AT_ONCE: usize = 4;

/// Time after which a caller that met the maximum should ask again: a call ends sooner.
const BUSY_WAIT: Duration = Duration::from_secs(20);

/// The way by which a server is looked up and called from outside.
pub trait ReachProbe: Send + Sync + 'static {
    /// Looks a server up and calls it; the report is there by this time.
    fn reach(&self, server: &ServerName, until: Instant) -> Task<ReachReport>;
}

/// Error: a peer is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReachRefusal {
    /// The configuration does not allow it for this peer.
    #[error("this server does not look you up: its operator has not set reach_tests = true for you")]
    NotAllowed,
    /// The peer has asked within the last minute.
    #[error("this server looks you up once in {} s", REACH_PAUSE.as_secs())]
    TooOften {
        /// Time until it may ask again.
        wait: Duration,
    },
    /// Others are being looked up.
    #[error("this server is looking up {REACH_AT_ONCE} other servers")]
    Busy,
}

impl ReachRefusal {
    /// Returns the code of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "REACH_NOT_ALLOWED",
            Self::TooOften { .. } => "REACH_TOO_OFTEN",
            Self::Busy => "REACH_BUSY",
        }
    }

    /// Returns the time after which the peer may ask again, if that helps.
    pub const fn wait(self) -> Option<Duration> {
        match self {
            Self::NotAllowed => None,
            Self::TooOften { wait } => Some(wait),
            Self::Busy => Some(BUSY_WAIT),
        }
    }
}

/// Admits these calls. It remembers only peers that are allowed to ask, for a minute each.
#[derive(Debug, Default)]
pub(crate) struct ReachRegister(Mutex<AskedReaches>);

#[derive(Debug, Default)]
struct AskedReaches {
    under_way: usize,
    last: HashMap<ServerName, Instant>,
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct ReachPermit<'a>(&'a ReachRegister);

impl Drop for ReachPermit<'_> {
    fn drop(&mut self) {
        self.0.0.lock().under_way -= 1;
    }
}

impl ReachRegister {
    /// Admits a call of a peer that the configuration allows, or not.
    pub(crate) fn admit(&self, server: &ServerName, is_allowed: bool) -> Result<ReachPermit<'_>, ReachRefusal> {
        if !is_allowed {
            return Err(ReachRefusal::NotAllowed);
        }
        let (now, mut asked) = (Instant::now(), self.0.lock());
        asked.last.retain(|_, at| now < *at + REACH_PAUSE);
        if let Some(at) = asked.last.get(server) {
            return Err(ReachRefusal::TooOften { wait: (*at + REACH_PAUSE).saturating_duration_since(now) });
        }
        if asked.under_way >= REACH_AT_ONCE {
            return Err(ReachRefusal::Busy);
        }
        asked.under_way += 1;
        asked.last.insert(server.clone(), now);
        Ok(ReachPermit(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    #[tokio::test(start_paused = true)]
    async fn each_peer_asks_once_a_minute() {
        let register = ReachRegister::default();
        let asked = |server: &str| register.admit(&name(server), true).map(drop).map_err(ReachRefusal::code);
        assert_eq!(asked("red"), Ok(()));
        assert_eq!((asked("red"), asked("blue")), (Err("REACH_TOO_OFTEN"), Ok(())));
        tokio::time::advance(Duration::from_secs(59)).await;
        let refused = register.admit(&name("red"), true).map(drop);
        assert_eq!(refused.map_err(ReachRefusal::wait), Err(Some(Duration::from_secs(1))));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(asked("red"), Ok(()));
        assert_eq!(register.0.lock().last.len(), 1, "blue is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn few_peers_are_reached_at_once() {
        let register = ReachRegister::default();
        let names: Vec<ServerName> = (0..=REACH_AT_ONCE).map(|n| name(&format!("s{n}"))).collect();
        let (last, first) = names.split_last().expect("several");
        let mut permits: Vec<_> = first.iter().map(|name| register.admit(name, true).expect("there is room")).collect();
        assert_eq!(register.admit(last, true).map(drop), Err(ReachRefusal::Busy));
        permits.pop();
        assert!(register.admit(last, true).is_ok(), "a refusal for others counts for nobody");
        assert_eq!(register.admit(&name("red"), false).map(drop), Err(ReachRefusal::NotAllowed));
        assert!(register.0.lock().last.len() == names.len(), "who is not allowed leaves no trace");
    }
}
