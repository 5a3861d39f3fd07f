//! Metrics of single peers. The first peers of the configuration have labels of their own, up to `metrics.peers_max`; all others
//! are `other`, so that the number of lines is bounded.

use std::collections::HashMap;

use actors::model::{Millis, PeerQueueSize, ServerName};

use crate::admin::metrics::metric_text::MetricKind::Gauge;
use crate::admin::metrics::metric_text::MetricText;
use crate::telemetry::peer_clocks::PeerClocks;

/// Label of the peers without one of their own.
const OTHER: &str = "other";

/// The figures under one label.
#[derive(Debug, Default)]
struct PeerMetricLine {
    peer: String,
    /// Number of peers by state.
    states: Vec<(&'static str, u64)>,
    backlog: u64,
    bytes: u64,
    oldest: Option<Millis>,
    /// Difference of the clock from ours; of several peers the largest one.
    skew_ms: Option<i64>,
}

impl PeerMetricLine {
    fn of(peer: &str) -> Self {
        Self { peer: peer.to_owned(), ..Self::default() }
    }

    fn add(&mut self, gauge: Option<&PeerQueueSize>, skew_ms: Option<i64>) {
        // A peer without work is not in memory.
        let state = gauge.map_or("idle", |gauge| gauge.state);
        match self.states.iter_mut().find(|(word, _)| *word == state) {
            Some((_, count)) => *count += 1,
            None => self.states.push((state, 1)),
        }
        if let Some(gauge) = gauge {
            self.backlog += gauge.backlog;
            self.bytes += gauge.backlog_bytes;
            self.oldest = self.oldest.into_iter().chain(gauge.oldest).min();
        }
        self.skew_ms = self.skew_ms.into_iter().chain(skew_ms).max_by_key(|skew_ms| skew_ms.unsigned_abs());
    }
}

/// Appends the metrics of peers. `listed`: the peers of the configuration in its order; `named_max`: the number of them that have
/// labels.
pub(super) fn write(
    (listed, gauges): (&[ServerName], &[PeerQueueSize]),
    (clocks, named_max, now): (&PeerClocks, usize, Millis),
    text: &mut MetricText<'_>,
) {
    let mut of_server: HashMap<&ServerName, &PeerQueueSize> =
        gauges.iter().map(|gauge| (&gauge.server, gauge)).collect();
    let (mut lines, mut other) = (Vec::new(), PeerMetricLine::of(OTHER));
    for (place, server) in listed.iter().enumerate() {
        let (gauge, skew_ms) = (of_server.remove(server), clocks.skew_ms(server));
        if place < named_max {
            let mut line = PeerMetricLine::of(server.as_str());
            line.add(gauge, skew_ms);
            lines.push(line);
        } else {
            other.add(gauge, skew_ms);
        }
    }
    for (server, gauge) in of_server {
        other.add(Some(gauge), clocks.skew_ms(server));
    }
    if !other.states.is_empty() {
        lines.push(other);
    }
    write_lines(&lines, now, text);
}

fn write_lines(lines: &[PeerMetricLine], now: Millis, text: &mut MetricText<'_>) {
    let age = |line: &PeerMetricLine| line.oldest.map_or(0.0, |oldest| oldest.until(now).as_secs_f64());
    let skew = |line: &PeerMetricLine| line.skew_ms.map(|skew_ms| skew_ms as f64 / 1000.0);
    let mut family = |name: &str, help: &str, value: &dyn Fn(&PeerMetricLine) -> Option<f64>| {
        let rows = lines.iter().filter_map(|line| Some((vec![("peer", line.peer.as_str())], value(line)?)));
        text.family((Gauge, name, help), rows);
    };
    family("fernpost_peer_backlog_items", "Items pending for a peer.", &|line| Some(line.backlog as f64));
    family("fernpost_peer_backlog_bytes", "Size of the items pending for a peer.", &|line| Some(line.bytes as f64));
    family(
        "fernpost_peer_oldest_unacked_seconds",
        "Age of the oldest item pending for a peer, 0 if none is.",
        &|line| Some(age(line)),
    );
    family(
        "fernpost_peer_clock_skew_seconds",
        "Difference of a peer's clock from ours, as measured last; positive: its clock is ahead.",
        &|line| skew(line),
    );
    let states = lines.iter().flat_map(|line| {
        let of_line = line.states.iter();
        of_line.map(|(state, count)| (vec![("peer", line.peer.as_str()), ("state", *state)], *count as f64))
    });
    text.family((Gauge, "fernpost_peer_state", "Peers by label and state; of a named peer 1 in its state."), states);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use actors::model::Index;

    use super::*;

    fn name(server: &str) -> ServerName {
        server.parse().expect("a name")
    }

    #[test]
    fn peers_beyond_bound_are_other() {
        let gauge = |server: &str, state, backlog, oldest| PeerQueueSize {
            server: name(server),
            state,
            backlog,
            backlog_bytes: backlog * 10,
            acked: Index(0),
            oldest: Some(Millis(oldest)),
        };
        let gauges =
            [gauge("a", "sending", 1, 9_000), gauge("c", "suspended", 2, 4_000), gauge("z", "suspended", 3, 5_000)];
        let listed = ["a", "b", "c"].map(name);
        let clocks = PeerClocks::new(NonZeroUsize::new(9).expect("nine"));
        clocks.note(&name("c"), Millis(3_000), (Millis(13_000), Millis(13_000)));
        let mut out = String::new();
        write((&listed, &gauges), (&clocks, 2, Millis(10_000)), &mut MetricText(&mut out));
        let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "fernpost_peer_backlog_items{peer=\"a\"} 1",
                "fernpost_peer_backlog_items{peer=\"b\"} 0",
                "fernpost_peer_backlog_items{peer=\"other\"} 5",
                "fernpost_peer_backlog_bytes{peer=\"a\"} 10",
                "fernpost_peer_backlog_bytes{peer=\"b\"} 0",
                "fernpost_peer_backlog_bytes{peer=\"other\"} 50",
                "fernpost_peer_oldest_unacked_seconds{peer=\"a\"} 1",
                "fernpost_peer_oldest_unacked_seconds{peer=\"b\"} 0",
                "fernpost_peer_oldest_unacked_seconds{peer=\"other\"} 6",
                "fernpost_peer_clock_skew_seconds{peer=\"other\"} -9.001",
                "fernpost_peer_state{peer=\"a\",state=\"sending\"} 1",
                "fernpost_peer_state{peer=\"b\",state=\"idle\"} 1",
                "fernpost_peer_state{peer=\"other\",state=\"suspended\"} 2",
            ]
        );
    }
}
