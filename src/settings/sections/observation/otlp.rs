//! `[otlp]`: the export of traces.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::settings::check::SettingsCheck;
use crate::settings::values::units::DurationValue;
use crate::telemetry::spans::SpanRules;

/// Path to which spans are posted, if the endpoint has none.
const TRACES_PATH: &str = "v1/traces";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OtlpSection {
    /// URL of the collector; without it nothing is exported.
    endpoint: Option<String>,
    /// Share of the submissions that are traced.
    ratio: f64,
    /// Maximum number of spans that wait to be sent.
    queue_max: u32,
    /// Time after which spans are sent.
    interval: DurationValue,
    /// Maximum time of one request to the collector.
    timeout: DurationValue,
}

impl Default for OtlpSection {
    fn default() -> Self {
        let (interval, timeout) = (DurationValue::secs(5), DurationValue::secs(10));
        Self { endpoint: None, ratio: 1.0, queue_max: 2048, interval, timeout }
    }
}

impl OtlpSection {
    /// Checks the section; `None`: nothing is exported.
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> Option<SpanRules> {
        check.at_least_one(&["otlp"], &[("queue_max", self.queue_max.into())]);
        if !(0.0..=1.0).contains(&self.ratio) {
            check.invalid(&["otlp", "ratio"], format!("{} is not between 0 and 1", self.ratio));
        }
        for (key, time) in [("interval", self.interval.0), ("timeout", self.timeout.0)] {
            if time == Duration::ZERO {
                check.invalid(&["otlp", key], "it must be more than 0s");
            }
        }
        let endpoint = self.endpoint?;
        if !cfg!(feature = "otlp") {
            let why = "this program was built without otlp (`fernpost --version` lists the features); remove the key, or use a \
                build with `--features otlp`";
            check.invalid(&["otlp", "endpoint"], why);
            return None;
        }
        match collector(&endpoint) {
            Ok(endpoint) => Some(SpanRules {
                endpoint,
                ratio: self.ratio,
                queue_max: self.queue_max as usize,
                interval: self.interval.0,
                timeout: self.timeout.0,
            }),
            Err(why) => {
                check.invalid(&["otlp", "endpoint"], format!("\"{endpoint}\": {why}"));
                None
            }
        }
    }
}

/// Returns the URL to which spans are posted.
fn collector(endpoint: &str) -> Result<String, String> {
    let url: Url = endpoint.parse().map_err(|error| format!("it is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("it must be an http:// or https:// URL, such as \"http://127.0.0.1:4318\"".to_owned());
    }
    match url.path() {
        "" | "/" => url.join(TRACES_PATH).map(String::from).map_err(|error| error.to_string()),
        _ => Ok(url.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_without_path_gets_path() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("https://otel.example/", Some("https://otel.example/v1/traces")),
            ("http://[::1]:4318/otlp/traces", Some("http://[::1]:4318/otlp/traces")),
            ("grpc://127.0.0.1:4317", None),
            ("127.0.0.1:4318", None),
            ("", None),
        ] {
            assert_eq!(collector(endpoint).ok().as_deref(), expected, "{endpoint}");
        }
    }
}
