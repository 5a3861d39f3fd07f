//! A chart of bars over time: one series upwards from the middle, one downwards.

use std::time::{Duration, UNIX_EPOCH};

use actors::model::Millis;
use askama::Template;

use crate::runtime::readable_text::count;
use crate::telemetry::flow_history::{FlowCounts, MinuteFlow};

/// Width of the drawing; the page stretches it.
const WIDTH: usize = 720;

/// Height of one half of the drawing.
const HALF: u64 = 60;

/// Number of times that are written below the chart, beside the last one.
const TIMES: usize = 4;

/// A chart of two series.
#[derive(Debug, Template)]
#[template(path = "flow_chart.html", config = "src/admin/dashboard/pages/askama.toml")]
pub(in crate::admin::dashboard) struct FlowChart {
    title: &'static str,
    up: ChartSeries,
    down: ChartSeries,
    bars: Vec<ChartBar>,
    /// Times below the chart, from left to right.
    times: Vec<String>,
    /// The largest number of a bar, and the time that one stands for.
    peak: String,
    width: usize,
    half: u64,
}

/// A series of the chart.
#[derive(Debug)]
struct ChartSeries {
    name: &'static str,
    /// Class of the style.
    class: &'static str,
    sum: String,
}

/// A pair of bars.
#[derive(Debug, PartialEq, Eq)]
struct ChartBar {
    x: usize,
    width: usize,
    up: u64,
    down: u64,
    /// Numbers of the bars, for people.
    title: String,
}

/// The choice of the two series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin::dashboard) enum FlowSeries {
    /// Items that peers acknowledged, and items that they sent.
    Items,
    /// Failed attempts, and items that went to quarantine.
    Trouble,
}

impl FlowSeries {
    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Items => ("Items", "delivered to peers", "received from peers"),
            Self::Trouble => ("Trouble", "failed attempts", "quarantined items"),
        }
    }

    const fn pair(self, counts: &FlowCounts) -> (u64, u64) {
        match self {
            Self::Items => (counts.delivered, counts.received),
            Self::Trouble => (counts.failed, counts.quarantined),
        }
    }

    const fn classes(self) -> (&'static str, &'static str) {
        match self {
            Self::Items => ("sent", "received"),
            Self::Trouble => ("failed", "quarantined"),
        }
    }
}

impl FlowChart {
    /// Draws these minutes, `per_bar` of them in a bar.
    pub(in crate::admin::dashboard) fn of(minutes: &[MinuteFlow], per_bar: usize, series: FlowSeries) -> Self {
        let per_bar = per_bar.max(1);
        let groups: Vec<(Millis, (u64, u64))> = minutes
            .chunks(per_bar)
            .map(|group| {
                let mut sum = FlowCounts::default();
                group.iter().for_each(|minute| sum.add(minute.counts));
                (group[0].begin, series.pair(&sum))
            })
            .collect();
        let peak = groups.iter().map(|(_, (up, down))| (*up).max(*down)).max().unwrap_or(0);
        let (title, up_name, down_name) = series.names();
        let (up_class, down_class) = series.classes();
        let step = WIDTH / groups.len().max(1);
        let bars = groups.iter().enumerate().map(|(at, (begin, (up, down)))| ChartBar {
            x: at * step,
            width: step.max(2) - 1,
            up: height(*up, peak),
            down: height(*down, peak),
            title: format!("{}: {} {up_name}, {} {down_name}", clock_time(*begin), count(*up), count(*down)),
        });
        let every = groups.len().div_ceil(TIMES).max(1);
        let times = groups.iter().step_by(every).map(|(begin, _)| clock_time(*begin)).collect();
        let sum = |pick: fn(&(u64, u64)) -> u64| count(groups.iter().map(|(_, pair)| pick(pair)).sum());
        Self {
            title,
            up: ChartSeries { name: up_name, class: up_class, sum: sum(|pair| pair.0) },
            down: ChartSeries { name: down_name, class: down_class, sum: sum(|pair| pair.1) },
            bars: bars.collect(),
            times,
            peak: match per_bar {
                1 => format!("highest: {} a minute", count(peak)),
                _ => format!("highest: {} in {per_bar} minutes", count(peak)),
            },
            width: step * groups.len().max(1),
            half: HALF,
        }
    }
}

/// Returns the height of a bar. A number that is not zero is always seen.
fn height(number: u64, peak: u64) -> u64 {
    match number {
        0 => 0,
        _ => (u128::from(number) * u128::from(HALF) / u128::from(peak.max(1))).clamp(2, u128::from(HALF)) as u64,
    }
}

/// Returns the hour and minute of a time, in UTC.
fn clock_time(time: Millis) -> String {
    let whole = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(time.0)).to_string();
    whole.get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(counts: &[(u64, u64)]) -> Vec<MinuteFlow> {
        let minute = |(at, (delivered, received)): (usize, &(u64, u64))| MinuteFlow {
            begin: Millis(45_000_000 + at as u64 * 60_000),
            counts: FlowCounts { delivered: *delivered, received: *received, ..FlowCounts::default() },
        };
        counts.iter().enumerate().map(minute).collect()
    }

    #[test]
    fn bars_share_one_scale() {
        let chart = FlowChart::of(&minutes(&[(1, 0), (299, 3), (0, 300), (0, 0)]), 2, FlowSeries::Items);
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.x, bar.up, bar.down)).collect();
        assert_eq!(heights, [(0, 60, 2), (360, 0, 60)]);
        assert_eq!(chart.bars[0].title, "12:30: 300 delivered to peers, 3 received from peers");
        assert_eq!((chart.up.sum.as_str(), chart.peak.as_str()), ("300", "highest: 300 in 2 minutes"));
        assert_eq!(chart.times, ["12:30", "12:32"]);
    }

    #[test]
    fn chart_without_minutes_is_empty() {
        let chart = FlowChart::of(&[], 0, FlowSeries::Trouble);
        assert!(chart.bars.is_empty() && chart.render().expect("a chart").contains("<svg"));
    }
}
