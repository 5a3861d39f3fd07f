//! The limits of a peer as they are written in a configuration: one form for each unit of the table `actors::peer_limits`.

use std::time::Duration;

use actors::limits::{Numbering, RelayPolicy};
use actors::model::Seq;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::values::units::{DurationValue, SizeSetting};

/// The written form of a limit.
pub(crate) trait WrittenLimit: Sized {
    /// The limit as actors have it.
    type Limit;

    fn write(limit: Self::Limit) -> Self;

    fn read(&self) -> Self::Limit;

    /// Returns the value in JSON, as it may be written in a file; `None` if it is not set.
    fn json(&self) -> Option<Value>;

    /// Returns the reason for which the value is invalid, if it is 0.
    fn positive(&self) -> Option<&'static str> {
        None
    }
}

/// The type of the written form for a unit of the table.
macro_rules! written_limit {
    (count, $type:ty) => { $type };
    (share, $type:ty) => { $type };
    (switch, $type:ty) => { $type };
    (count_or_unbounded, $type:ty) => { $crate::settings::values::written_limit::UnboundedByZero };
    (bytes, $type:ty) => { $crate::settings::values::units::SizeSetting };
    (time, $type:ty) => { $crate::settings::values::units::DurationValue };
    (numbering, $type:ty) => { $crate::settings::values::written_limit::NumberingValue };
    (sequence, $type:ty) => { Option<u64> };
    (relay_policy, $type:ty) => { $crate::settings::values::written_limit::RelayPolicyValue };
}

pub(crate) use written_limit;

const NOTHING_PASSES: &str = "it must be more than 0, because 0 lets nothing through";

/// Implements the form of a number without a unit.
macro_rules! plain {
    ($($type:ty, $zero:expr;)*) => {$(
        impl WrittenLimit for $type {
            type Limit = Self;

            fn write(limit: Self) -> Self {
                limit
            }

            fn read(&self) -> Self {
                *self
            }

            fn json(&self) -> Option<Value> {
                Some((*self).into())
            }

            fn positive(&self) -> Option<&'static str> {
                (*self == $zero).then_some(NOTHING_PASSES)
            }
        }
    )*};
}

plain! { u32, 0; u64, 0; f64, 0.0; bool, false; }

/// A number of items; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct UnboundedByZero(u32);

impl WrittenLimit for UnboundedByZero {
    type Limit = u32;

    fn write(limit: u32) -> Self {
        Self(if limit == u32::MAX { 0 } else { limit })
    }

    fn read(&self) -> u32 {
        if self.0 == 0 { u32::MAX } else { self.0 }
    }

    fn json(&self) -> Option<Value> {
        Some(self.0.into())
    }
}

impl WrittenLimit for SizeSetting {
    type Limit = u64;

    fn write(limit: u64) -> Self {
        Self(limit)
    }

    fn read(&self) -> u64 {
        self.0
    }

    /// Uses the largest unit of which the value is a whole number.
    fn json(&self) -> Option<Value> {
        const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let Self(bytes) = *self;
        let unit = UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
        Some(unit.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit)).into())
    }

    fn positive(&self) -> Option<&'static str> {
        (self.0 == 0).then_some(NOTHING_PASSES)
    }
}

impl WrittenLimit for DurationValue {
    type Limit = Duration;

    fn write(limit: Duration) -> Self {
        Self(limit)
    }

    fn read(&self) -> Duration {
        self.0
    }

    /// Uses the largest unit of which the value is a whole number.
    fn json(&self) -> Option<Value> {
        const UNITS: [(&str, u128); 5] = [
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
        ];
        let nanos = self.0.as_nanos();
        let unit = UNITS.iter().find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit));
        Some(match unit {
            Some((name, unit)) => format!("{}{name}", nanos / unit).into(),
            None if nanos == 0 => "0s".into(),
            None => humantime::format_duration(self.0).to_string().into(),
        })
    }

    fn positive(&self) -> Option<&'static str> {
        self.0.is_zero().then_some("it must be longer than 0s")
    }
}

/// The meaning of a peer's `seq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NumberingValue {
    /// Detected from its pushes.
    Auto,
    /// `seq` counts strong updates.
    Updates,
    /// `seq` counts pushes.
    Pushes,
}

impl WrittenLimit for NumberingValue {
    type Limit = Numbering;

    fn write(limit: Numbering) -> Self {
        match limit {
            Numbering::Auto => Self::Auto,
            Numbering::Updates => Self::Updates,
            Numbering::Pushes => Self::Pushes,
        }
    }

    fn read(&self) -> Numbering {
        match self {
            Self::Auto => Numbering::Auto,
            Self::Updates => Numbering::Updates,
            Self::Pushes => Numbering::Pushes,
        }
    }

    fn json(&self) -> Option<Value> {
        let word = match self {
            Self::Auto => "auto",
            Self::Updates => "updates",
            Self::Pushes => "pushes",
        };
        Some(word.into())
    }
}

/// The PDUs of other origins that are accepted from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RelayPolicyValue {
    /// None.
    None,
    /// Those that their origin has signed.
    Signed,
    /// All.
    Any,
}

impl WrittenLimit for RelayPolicyValue {
    type Limit = RelayPolicy;

    fn write(limit: RelayPolicy) -> Self {
        match limit {
            RelayPolicy::None => Self::None,
            RelayPolicy::Signed => Self::Signed,
            RelayPolicy::Any => Self::Any,
        }
    }

    fn read(&self) -> RelayPolicy {
        match self {
            Self::None => RelayPolicy::None,
            Self::Signed => RelayPolicy::Signed,
            Self::Any => RelayPolicy::Any,
        }
    }

    fn json(&self) -> Option<Value> {
        let word = match self {
            Self::None => "none",
            Self::Signed => "signed",
            Self::Any => "any",
        };
        Some(word.into())
    }
}

impl WrittenLimit for Option<u64> {
    type Limit = Option<Seq>;

    fn write(limit: Option<Seq>) -> Self {
        limit.map(|number| number.0)
    }

    fn read(&self) -> Option<Seq> {
        self.map(Seq)
    }

    fn json(&self) -> Option<Value> {
        self.map(Value::from)
    }
}
