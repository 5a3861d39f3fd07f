//! The clock of the system.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actors::model::Millis;
use actors::ports::Clock;

/// The system's clock.
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that the ban points to")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Millis(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl SystemClock {
    /// Returns the time of the clock in the form of the standard library.
    pub(crate) fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(Self.now().0)
    }
}
