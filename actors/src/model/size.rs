//! Byte counts, formatted with binary units.

use std::fmt;

/// A number of bytes, formatted in the largest unit that it fills, rounded down to a tenth: "900GiB", "1.5MiB", "512B".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Self(bytes) = *self;
        let Some(power) = (1..=UNITS.len()).rev().find(|power| bytes >> (10 * power) > 0) else {
            return write!(f, "{bytes}B");
        };
        let unit = 1u128 << (10 * power);
        let tenths = u128::from(bytes) * 10 / unit;
        match tenths % 10 {
            0 => write!(f, "{}{}", tenths / 10, UNITS[power - 1]),
            tenth => write!(f, "{}.{tenth}{}", tenths / 10, UNITS[power - 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_displays_in_configured_units() {
        let table = [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1 << 20, "1MiB"), (3 << 29, "1.5GiB")];
        for (bytes, words) in table.into_iter().chain([(900 << 30, "900GiB"), (u64::MAX, "15.9EiB")]) {
            assert_eq!(Size(bytes).to_string(), words);
        }
    }
}
