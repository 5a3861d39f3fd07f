//! Numbers and times as people read them: in refusals, notices and the log.

use std::fmt;
use std::time::Duration;

use super::Seq;

/// A count with its noun, which takes an s: "1 update", "7 updates".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedNoun(pub u64, pub &'static str);

impl fmt::Display for CountedNoun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = *self;
        write!(f, "{count} {noun}{}", if count == 1 { "" } else { "s" })
    }
}

/// Numbers from the first to the last: "number 7", "numbers 7 to 9".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberRange(pub Seq, pub Seq);

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(first, last) = self;
        if first == last { write!(f, "number {first}") } else { write!(f, "numbers {first} to {last}") }
    }
}

/// A length of time in its two largest units: "250ms", "20s", "2h 5m".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortDuration(pub Duration);

impl fmt::Display for ShortDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let seconds = self.0.as_secs();
        let (large, small) = match seconds {
            0 => return write!(f, "{}ms", self.0.subsec_millis()),
            1..MINUTE => return write!(f, "{seconds}s"),
            MINUTE..HOUR => ((seconds / MINUTE, "m"), (seconds % MINUTE, "s")),
            HOUR..DAY => ((seconds / HOUR, "h"), (seconds % HOUR / MINUTE, "m")),
            DAY.. => ((seconds / DAY, "d"), (seconds % DAY / HOUR, "h")),
        };
        write!(f, "{}{}", large.0, large.1)?;
        if small.0 > 0 { write!(f, " {}{}", small.0, small.1) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_named_in_singular() {
        assert_eq!([0, 1, 2].map(|n| CountedNoun(n, "item").to_string()), ["0 items", "1 item", "2 items"]);
        assert_eq!(NumberRange(Seq(606), Seq(606)).to_string(), "number 606");
        assert_eq!(NumberRange(Seq(606), Seq(607)).to_string(), "numbers 606 to 607");
    }

    #[test]
    fn time_has_two_units_at_most() {
        let table = [(0, "0ms"), (250, "250ms"), (1_900, "1s"), (59_000, "59s"), (60_000, "1m"), (61_000, "1m 1s")];
        for (millis, words) in table.into_iter().chain([(7_500_000, "2h 5m"), (273_599_000, "3d 3h")]) {
            assert_eq!(ShortDuration(Duration::from_millis(millis)).to_string(), words);
        }
    }
}
