//! Figures of the process, as Linux states them.

use std::fs;

use actors::model::Millis;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::admin::metrics::metric_text::MetricKind::{Counter, Gauge};
use crate::admin::metrics::metric_text::MetricText;
use crate::telemetry::VERSION;

/// Appends the figures of this process; `began`: the start of the gateway. What the system does not state is left out.
pub(super) fn write(began: Millis, text: &mut MetricText<'_>) {
    let version = [("version", VERSION)];
    text.family((Gauge, "fernpost_build_info", "1, with the version of the program."), [(version.to_vec(), 1.0)]);
    let start = began.0 as f64 / 1000.0;
    text.one(Gauge, "fernpost_process_start_time_seconds", "Start of the gateway, in seconds since 1970.", start);
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let spent = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
    text.one(Counter, "fernpost_process_cpu_seconds_total", "CPU time of the process.", spent);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(kib) = status_number(&status, "VmRSS:") {
        text.one(Gauge, "fernpost_process_resident_memory_bytes", "Memory of the process in RAM.", kib * 1024.0);
    }
    if let Some(threads) = status_number(&status, "Threads:") {
        text.one(Gauge, "fernpost_process_threads", "Threads of the process.", threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        let open = open.count().saturating_sub(1) as f64;
        text.one(Gauge, "fernpost_process_open_fds", "Open files and sockets of the process.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.one(Gauge, "fernpost_process_max_fds", "Most files and sockets that may be open.", most as f64);
    }
}

/// Returns the number behind a key of `/proc/self/status`.
fn status_number(status: &str, key: &str) -> Option<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.split_whitespace().next()?.parse().ok()
}
