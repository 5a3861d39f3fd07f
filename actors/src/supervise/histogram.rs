//! A histogram of times in the format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the times that are counted, in milliseconds, each with its text in seconds.
const BOUNDS: [(u64, &str); 14] = [
    (1, "0.001"),
    (5, "0.005"),
    (25, "0.025"),
    (100, "0.1"),
    (250, "0.25"),
    (1_000, "1"),
    (2_500, "2.5"),
    (10_000, "10"),
    (30_000, "30"),
    (60_000, "60"),
    (600_000, "600"),
    (3_600_000, "3600"),
    (21_600_000, "21600"),
    (86_400_000, "86400"),
];

/// The times since the start. It holds counts and no times, so that it does not grow.
#[derive(Debug, Default)]
pub struct TimeHistogram {
    /// Times by the first bound that they did not exceed; the last are those that exceeded all.
    counts: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl TimeHistogram {
    /// Counts a time, as often as `items`.
    pub fn note(&self, time: Duration, items: u64) {
        let place = BOUNDS.iter().position(|(bound, _)| time <= Duration::from_millis(*bound));
        self.counts[place.unwrap_or(BOUNDS.len())].fetch_add(items, Ordering::Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).saturating_mul(items);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Appends the histogram as the only series of its name.
    pub fn write(&self, name: &str, help: &str, out: &mut String) {
        Self::write_head(name, help, out);
        self.write_series(name, "", out);
    }

    /// Appends the lines that precede the series of a name.
    pub fn write_head(name: &str, help: &str, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
    }

    /// Appends one series of this name. `label` is empty or one label in the form `name="value"`.
    pub fn write_series(&self, name: &str, label: &str, out: &mut String) {
        let (comma, braces) = if label.is_empty() { ("", String::new()) } else { (",", format!("{{{label}}}")) };
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
        for (bound, count) in bounds.zip(&self.counts) {
            sum += count.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {sum}");
        }
        let seconds = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(out, "{name}_sum{braces} {seconds}\n{name}_count{braces} {sum}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_under_their_bounds() {
        let times = TimeHistogram::default();
        times.note(Duration::from_millis(1), 2);
        times.note(Duration::from_micros(1_500), 1);
        times.note(Duration::from_secs(100_000), 1);
        let mut text = String::new();
        times.write("t", "Times.", &mut text);
        let value = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).expect("a line");
            line.rsplit(' ').next().expect("a value").to_owned()
        };
        assert_eq!(
            ["t_bucket{le=\"0.001\"}", "t_bucket{le=\"0.005\"}", "t_bucket{le=\"86400\"}"].map(value),
            ["2", "3", "3"]
        );
        assert_eq!(["t_bucket{le=\"+Inf\"}", "t_count", "t_sum"].map(value), ["4", "4", "100000.0035"]);
        assert!(text.starts_with("# HELP t Times.\n# TYPE t histogram\n"));
    }
}
