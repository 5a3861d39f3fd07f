//! The calls under way: how many there are, of which peers, and how each ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actors::errors::AdmissionError;
use actors::model::ServerName;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rpc::rpc_metrics::{RpcDirection, RpcMetrics, RpcResult};
use crate::rpc::{RpcLimits, RpcRules};

/// Time after which a refused asker should try again: the smallest unit of `Retry-After`, and most calls end sooner.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// Admits calls and counts them.
pub struct CallRegister {
    rules: Box<dyn RpcRules>,
    under_way: Mutex<CallsUnderWay>,
    metrics: RpcMetrics,
}

/// Calls under way. A peer without any has no entry, so `rpc.max` bounds the entries, too.
#[derive(Default)]
struct CallsUnderWay {
    all: u32,
    by_peer: HashMap<(RpcDirection, ServerName), u32>,
}

/// A call under way, until it is dropped. One that is dropped without a result was cancelled: its asker has left.
pub struct CallPermit {
    calls: Arc<CallRegister>,
    direction: RpcDirection,
    server: ServerName,
    began: Instant,
    result: RpcResult,
}

impl CallRegister {
    /// Returns a register with these limits.
    pub fn new(rules: impl RpcRules) -> Self {
        Self { rules: Box::new(rules), under_way: Mutex::default(), metrics: RpcMetrics::default() }
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> RpcLimits {
        self.rules.rpc_limits()
    }

    /// Returns whether this peer may ask to be looked up and called.
    pub(crate) fn allows_reach(&self, server: &ServerName) -> bool {
        self.rules.allows_reach(server)
    }

    /// Returns the counts.
    pub fn metrics(&self) -> &RpcMetrics {
        &self.metrics
    }

    /// Admits a call from or to this peer, or returns the limit that is reached.
    pub fn admit(self: &Arc<Self>, direction: RpcDirection, server: &ServerName) -> Result<CallPermit, AdmissionError> {
        let entered =
            self.under_way.lock().enter(direction, server, self.limits().max, self.rules.rpc_peer_max(server));
        if let Err((limit, value)) = entered {
            self.metrics.count(direction, RpcResult::Busy);
            return Err(AdmissionError::LimitReached { limit, value: value.into(), wait: BUSY_WAIT });
        }
        let (calls, server, result) = (Arc::clone(self), server.clone(), RpcResult::Cancelled);
        Ok(CallPermit { calls, direction, server, began: Instant::now(), result })
    }
}

impl CallsUnderWay {
    fn enter(
        &mut self,
        direction: RpcDirection,
        server: &ServerName,
        max: u32,
        peer_max: u32,
    ) -> Result<(), (&'static str, u32)> {
        if self.all >= max {
            return Err(("rpc.max", max));
        }
        let key = (direction, server.clone());
        let of_peer = self.by_peer.get(&key).copied().unwrap_or(0);
        if of_peer >= peer_max {
            return Err(("peers.rpc_max", peer_max));
        }
        self.by_peer.insert(key, of_peer + 1);
        self.all += 1;
        Ok(())
    }

    fn leave(&mut self, direction: RpcDirection, server: &ServerName) {
        let key = (direction, server.clone());
        match self.by_peer.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_peer.remove(&key)),
        }
        self.all = self.all.saturating_sub(1);
    }
}

impl CallPermit {
    /// Ends the call with this result.
    pub fn end(mut self, result: RpcResult) {
        self.result = result;
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.calls.under_way.lock().leave(self.direction, &self.server);
        self.calls.metrics.count(self.direction, self.result);
        self.calls.metrics.note_time(self.direction, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct SmallRules;

    impl RpcRules for SmallRules {
        fn rpc_limits(&self) -> RpcLimits {
            RpcLimits { body_max: 9, timeout: Duration::from_secs(1), timeout_max: Duration::from_secs(2), max: 4 }
        }

        fn rpc_peer_max(&self, _: &ServerName) -> u32 {
            2
        }
    }

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    fn limit(refused: Result<CallPermit, AdmissionError>) -> &'static str {
        refused.err().map_or("none", |refusal| refusal.limit())
    }

    #[tokio::test(start_paused = true)]
    async fn each_direction_has_its_limit() {
        let calls = Arc::new(CallRegister::new(SmallRules));
        let enter = |direction, server| calls.admit(direction, &name(server));
        let first = [enter(RpcDirection::In, "red"), enter(RpcDirection::In, "red")];
        assert!(first.iter().all(Result::is_ok));
        assert_eq!(limit(enter(RpcDirection::In, "red")), "peers.rpc_max");
        let other = enter(RpcDirection::Out, "red");
        let blue = enter(RpcDirection::In, "blue");
        assert!(other.is_ok() && blue.is_ok());
        assert_eq!(limit(enter(RpcDirection::In, "blue")), "rpc.max");
        drop(first);
        let again = [enter(RpcDirection::In, "red"), enter(RpcDirection::In, "blue")];
        assert!(again.iter().all(Result::is_ok));
        drop((again, other, blue));
        assert!(calls.under_way.lock().by_peer.is_empty() && calls.under_way.lock().all == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_call_counts_as_cancelled() {
        let calls = Arc::new(CallRegister::new(SmallRules));
        let enter = || calls.admit(RpcDirection::Out, &name("red")).expect("there is room");
        enter().end(RpcResult::Answered);
        drop(enter());
        let counts: Vec<_> = calls.metrics().results().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counts, [("out", "answered", 1), ("out", "cancelled", 1)]);
    }
}
