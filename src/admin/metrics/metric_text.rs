//! Lines in the text format of Prometheus.

use std::fmt::Write;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
}

/// The text that metrics are appended to. Labels are our own words, or names of servers, which need no escapes.
pub(super) struct MetricText<'a>(pub(super) &'a mut String);

impl MetricText<'_> {
    /// Appends the head of a metric and its values, each with its labels.
    pub(super) fn family<'l>(
        &mut self,
        (kind, name, help): (MetricKind, &str, &str),
        values: impl IntoIterator<Item = (Vec<(&'l str, &'l str)>, f64)>,
    ) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let labels: Vec<String> = labels.iter().map(|(label, of)| format!("{label}=\"{of}\"")).collect();
            let _ = match labels.as_slice() {
                [] => writeln!(self.0, "{name} {value}"),
                labels => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
            };
        }
    }

    /// Appends a metric with one value.
    pub(super) fn one(&mut self, kind: MetricKind, name: &str, help: &str, value: f64) {
        self.family((kind, name, help), [(vec![], value)]);
    }

    /// Appends counts under a label.
    pub(super) fn counts(
        &mut self,
        (name, help): (&str, &str),
        label: &'static str,
        counts: impl Iterator<Item = (&'static str, u64)>,
    ) {
        let values = counts.map(|(word, count)| (vec![(label, word)], count as f64));
        self.family((MetricKind::Counter, name, help), values);
    }
}
