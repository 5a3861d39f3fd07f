//! Tells the service manager that the gateway is alive, as long as the core's thread runs its tasks.
//!
//! The messages come from the thread that handles signals, so they prove two threads. A slow disk stops neither, because it blocks
//! other threads, and a restart would not make it faster.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::app::CoreProbe;
use crate::runtime::service_manager;

/// Messages in one period of the watchdog: one that comes late does not end the process.
const PER_PERIOD: u32 = 3;

/// Sends the messages until the handle is dropped, if the service manager asks for them.
pub(super) fn start(core: CoreProbe) -> Option<AbortOnDropHandle<()>> {
    let period = service_manager::watchdog_period()?;
    Some(AbortOnDropHandle::new(tokio::spawn(tell_regularly(core, period))))
}

async fn tell_regularly(core: CoreProbe, period: Duration) {
    // A manager may state a period of a few microseconds; an interval must not be zero.
    let mut times = interval((period / PER_PERIOD).max(Duration::from_millis(1)));
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        if !core.answers().await {
            return;
        }
        service_manager::alive();
    }
}
