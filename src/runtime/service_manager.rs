//! Messages to the service manager: ready, reloading, stopping, alive. Without one (`NOTIFY_SOCKET` is not set) nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;

/// Says that the gateway serves, also after a reload, with a line for `systemctl status`.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the configuration is being read again. A manager waits for the end of it, which [`reloaded`] says.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // `Type=notify-reload` compares the time with that of its signal.
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// Says that a reload has ended, whatever its outcome.
pub(crate) fn reloaded() {
    send(&[NotifyState::Ready]);
}

/// Says that the gateway is stopping.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Says that the gateway is alive.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}

/// Returns the time after which the manager ends a process that did not say that it is alive; `None` if it does not watch this process.
pub(crate) fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        // The gateway works without its manager, which will say itself what it misses.
        tracing::warn!(%error, "the service manager cannot be told about the state of the gateway");
    }
}
