//! Computes the retry delay from the number of failures and a random value. Pure: tests choose the value.

use std::time::Duration;

use crate::limits::BackoffLimits;

/// Returns the delay after `failures` failed attempts in a row: the minimum, doubled each time, capped, and moved in
/// either direction by up to the jitter. `roll` lies in 0..1; 0.5 moves nothing.
///
/// The cap holds after the jitter too: an operator who says "at most an hour" gets at most an hour. At the cap the
/// jitter goes to one side only: cut off there, half of all delays would be the same, and peers that went away together
/// would be tried together for as long as they are away.
pub fn delay(limits: &BackoffLimits, failures: u32, roll: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(63);
    let grown = limits.min.as_secs_f64() * 2f64.powi(i32::try_from(doublings).unwrap_or(63));
    let max = limits.max.as_secs_f64();
    let moved = grown.min(max / (1.0 + limits.jitter)) * (1.0 + limits.jitter * (2.0 * roll - 1.0));
    Duration::from_secs_f64(moved.clamp(0.0, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(jitter: f64) -> BackoffLimits {
        BackoffLimits { min: Duration::from_secs(1), max: Duration::from_secs(60), jitter }
    }

    #[test]
    fn backoff_doubles_to_cap() {
        let printed: Vec<u64> = (1..=9).map(|n| delay(&limits(0.0), n, 0.5).as_secs()).collect();
        assert_eq!(printed, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(delay(&limits(0.0), u32::MAX, 0.5).as_secs(), 60);
    }

    #[test]
    fn backoff_jitter_stays_under_cap() {
        assert_eq!(delay(&limits(0.2), 1, 0.0).as_millis(), 800);
        assert_eq!(delay(&limits(0.2), 1, 1.0).as_millis(), 1200);
        assert_eq!(delay(&limits(0.2), 20, 1.0).as_secs(), 60);
    }

    #[test]
    fn backoff_at_cap_is_spread() {
        let rolls = (0..100).map(|n| f64::from(n) / 100.0);
        let delays: std::collections::BTreeSet<u128> =
            rolls.map(|roll| delay(&limits(0.2), 20, roll).as_millis()).collect();
        assert_eq!((delays.len(), delays.first()), (100, Some(&40_000)), "{delays:?}");
    }
}
