//! The counts and times of calls, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::supervise::histogram::TimeHistogram;

/// The direction of a call, seen from this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RpcDirection {
    /// A peer asks our messenger.
    In,
    /// Our messenger asks a peer.
    Out,
}

impl RpcDirection {
    /// Returns the word of the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcResult {
    /// There was an answer, whatever its status.
    Answered,
    /// The call itself is wrong: its body, its time, its method, or the server it is for.
    BadRequest,
    /// A limit of calls under way is reached.
    Busy,
    /// Whoever is asked cannot be reached.
    Unavailable,
    /// Whoever is asked gave no answer that can be passed on.
    BadAnswer,
    /// There was no answer in time.
    TimedOut,
    /// The asker has left.
    Cancelled,
    /// An operator has suspended the peer.
    Suspended,
}

impl RpcResult {
    /// All results, each with its word.
    const WORDS: [(Self, &'static str); 8] = [
        (Self::Answered, "answered"),
        (Self::BadRequest, "bad_request"),
        (Self::Busy, "busy"),
        (Self::Unavailable, "unavailable"),
        (Self::BadAnswer, "bad_answer"),
        (Self::TimedOut, "timed_out"),
        (Self::Cancelled, "cancelled"),
        (Self::Suspended, "suspended"),
    ];
}

const DIRECTIONS: [RpcDirection; 2] = [RpcDirection::In, RpcDirection::Out];

/// Name of the metric of times.
const SECONDS: &str = "fernpost_rpc_seconds";

/// The counts of calls since the start.
#[derive(Debug, Default)]
pub struct RpcMetrics([DirectionCounts; DIRECTIONS.len()]);

#[derive(Debug, Default)]
struct DirectionCounts {
    results: [AtomicU64; RpcResult::WORDS.len()],
    times: TimeHistogram,
}

impl RpcMetrics {
    /// Counts the end of a call.
    pub fn count(&self, direction: RpcDirection, result: RpcResult) {
        let place = RpcResult::WORDS.iter().position(|(one, _)| *one == result).expect("every result has a word");
        self.of(direction).results[place].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the time of a call.
    pub(super) fn note_time(&self, direction: RpcDirection, time: Duration) {
        self.of(direction).times.note(time, 1);
    }

    fn of(&self, direction: RpcDirection) -> &DirectionCounts {
        &self.0[direction as usize]
    }

    /// Returns the number of calls by direction and result.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        DIRECTIONS.into_iter().flat_map(|direction| {
            let counts = RpcResult::WORDS.iter().zip(&self.of(direction).results);
            counts.map(move |((_, word), count)| (direction.as_str(), *word, count.load(Ordering::Relaxed)))
        })
    }

    /// Appends the times as a histogram. It is written by hand, because the recorder of the other metrics keeps every time
    /// until it is scraped.
    pub fn write_times(&self, out: &mut String) {
        TimeHistogram::write_head(SECONDS, "Time of calls between messengers, by direction.", out);
        for direction in DIRECTIONS {
            self.of(direction).times.write_series(SECONDS, &format!("direction=\"{}\"", direction.as_str()), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_make_a_histogram() {
        let metrics = RpcMetrics::default();
        for millis in [5, 6, 250, 70_000] {
            metrics.note_time(RpcDirection::In, Duration::from_millis(millis));
        }
        let mut text = String::new();
        metrics.write_times(&mut text);
        let of_in: Vec<&str> = text.lines().filter(|line| line.contains("\"in\"")).collect();
        let values: Vec<&str> = of_in.iter().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(values, ["0", "1", "2", "2", "3", "3", "3", "3", "3", "3", "4", "4", "4", "4", "4", "70.261", "4"]);
        assert_eq!(of_in[1], "fernpost_rpc_seconds_bucket{direction=\"in\",le=\"0.005\"} 1");
    }
}
