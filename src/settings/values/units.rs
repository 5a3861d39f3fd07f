//! Values with a unit, as they are written: durations, sizes, listening addresses.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A duration: "750ms", "30s", "7d".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DurationValue(pub(crate) Duration);

impl DurationValue {
    pub(crate) const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    pub(crate) const fn days(days: u64) -> Self {
        Self::secs(days * 24 * 60 * 60)
    }
}

/// A time of retention: a duration, or "forever".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetentionValue(pub(crate) Option<Duration>);

const FOREVER: &str = "forever";

/// A number of bytes: "8MiB".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeSetting(pub(crate) u64);

impl SizeSetting {
    pub(crate) const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// Returns a number of KiB.
    pub(crate) const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// Returns the size as a `usize`.
    pub(crate) fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A visitor that parses a text with a unit; for a bare number the error names the missing unit.
struct WithUnit<T> {
    what: &'static str,
    example: &'static str,
    /// Suggests a value for a number without its unit.
    instead: fn(&str) -> String,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> WithUnit<T> {
    fn bare<E: de::Error>(&self, number: impl fmt::Display) -> E {
        let text = number.to_string();
        if text.starts_with('-') {
            return E::custom(format_args!(
                "\"{text}\" is not {} such as \"{}\": it is below 0",
                self.what, self.example
            ));
        }
        E::custom(format_args!("{text} has no unit; write {}", (self.instead)(&text)))
    }
}

impl<T> Visitor<'_> for WithUnit<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} such as \"{}\"", self.what, self.example)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        Err(self.bare(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        if text.parse::<f64>().is_ok_and(f64::is_finite) && text != "-0" {
            return Err(self.bare(text));
        }
        (self.parse)(text).map_err(|why| {
            E::custom(format_args!("\"{text}\" is not {} such as \"{}\": {why}", self.what, self.example))
        })
    }
}

impl<'de> Deserialize<'de> for DurationValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit {
            what: "a duration",
            example: "30s",
            instead: |text| format!("\"{text}s\""),
            parse: |text| humantime::parse_duration(text).map(Self).map_err(|why| no_duration(&why)),
        })
    }
}

impl<'de> Deserialize<'de> for RetentionValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit {
            what: "\"forever\" or a duration",
            example: "365d",
            instead: |text| format!("\"{text}d\""),
            parse: |text| match text {
                FOREVER => Ok(Self(None)),
                text => humantime::parse_duration(text).map(|keep| Self(Some(keep))).map_err(|why| no_duration(&why)),
            },
        })
    }
}

impl<'de> Deserialize<'de> for SizeSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WithUnit {
            what: "a size",
            example: "8MiB",
            instead: sized,
            parse: |text| {
                let size = text.parse::<ByteSize>().map(|size| Self(size.as_u64()));
                size.map_err(|_| "it is written as 512B, 64KiB, 8MiB or 1GiB".to_owned())
            },
        })
    }
}

/// Describes why a text is not a duration, because the parser's messages are for programmers.
fn no_duration(why: &humantime::DurationError) -> String {
    match why {
        humantime::DurationError::NumberOverflow => "it is too long".to_owned(),
        _ => "it is written as 750ms, 30s, 5m, 2h or 7d".to_owned(),
    }
}

/// Suggests a size for a number without its unit: a small number is rarely meant in bytes.
fn sized(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number < 1024.0 => {
            format!("\"{text}MiB\" or \"{text}KiB\", or \"{text}B\" for bytes")
        }
        _ => format!("\"{text}B\""),
    }
}

/// The address of a listener: an IP address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) SocketAddr);

impl ListenAddress {
    /// Returns a port of the loopback address.
    pub(crate) fn loopback(port: u16) -> Self {
        Self(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            de::Error::custom(format_args!("\"{text}\" is not an IP address and a port such as \"127.0.0.1:9881\""))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'de, T: Deserialize<'de>>(toml: &'de str) -> Result<T, String> {
        let value = toml::de::ValueDeserializer::parse(toml).expect("TOML");
        T::deserialize(value).map_err(|why| why.message().to_owned())
    }

    #[test]
    fn durations_and_sizes_carry_units() {
        assert_eq!(read("\"750ms\""), Ok(DurationValue(Duration::from_millis(750))));
        assert_eq!(read("\"7d\""), Ok(DurationValue::days(7)));
        assert_eq!(read("\"365d\""), Ok(RetentionValue(Some(DurationValue::days(365).0))));
        assert_eq!(read("\"forever\""), Ok(RetentionValue(None)));
        assert_eq!(read("\"8MiB\""), Ok(SizeSetting::mib(8)));
        assert_eq!(read("\"512B\""), Ok(SizeSetting(512)));
    }

    #[test]
    fn bare_number_names_missing_unit() {
        assert_eq!(read::<DurationValue>("30"), Err("30 has no unit; write \"30s\"".into()));
        assert_eq!(read::<DurationValue>("\"30\""), Err("30 has no unit; write \"30s\"".into()));
        assert_eq!(read::<DurationValue>("\"0\""), Err("0 has no unit; write \"0s\"".into()));
        assert_eq!(read::<RetentionValue>("365"), Err("365 has no unit; write \"365d\"".into()));
        assert!(
            read::<RetentionValue>("\"always\"")
                .is_err_and(|why| why.starts_with("\"always\" is not \"forever\" or a duration"))
        );
        assert_eq!(read::<SizeSetting>("1024"), Err("1024 has no unit; write \"1024B\"".into()));
        let small = "32 has no unit; write \"32MiB\" or \"32KiB\", or \"32B\" for bytes";
        assert_eq!(read::<SizeSetting>("\"32\""), Err(small.into()));
        assert_eq!(read::<SizeSetting>("32"), Err(small.into()));
        assert_eq!(read::<SizeSetting>("0"), Err("0 has no unit; write \"0B\"".into()));
        assert!(read::<SizeSetting>("\"8 bananas\"").is_err_and(|why| why.starts_with("\"8 bananas\" is not a size")));
    }
}
