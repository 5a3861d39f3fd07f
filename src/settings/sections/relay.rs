//! `[relay]`: delivery through third servers.

use actors::limits::relay::{RelayLimits, RouteStep};
use actors::model::ServerName;
use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::pattern::NamePattern;
use crate::settings::values::units::DurationValue;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelaySection {
    /// Ways on which this server passes on what others write, each "ORIGIN -> DESTINATION"; * stands for any characters.
    allow: Vec<String>,
    /// Time for which a peer has to be unreachable before the servers in its `route` are used.
    after: DurationValue,
    /// Longest time between two attempts to reach the peer itself meanwhile.
    probe: DurationValue,
    /// Time for which a server that refused to pass on is not used again.
    retry: DurationValue,
    /// Maximum number of forwarded updates of one peer that wait for those before them.
    held_max: u32,
}

impl Default for RelaySection {
    fn default() -> Self {
        let limits = RelayLimits::default();
        Self {
            allow: Vec::new(),
            after: DurationValue(limits.after),
            probe: DurationValue(limits.probe),
            retry: DurationValue(limits.retry),
            held_max: limits.held_max,
        }
    }
}

/// The checked section.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RelaySettings {
    /// Ways on which this server passes on: origin and destination.
    pub(crate) allow: Vec<(NamePattern, NamePattern)>,
    /// The limits, with the route of a peer that has none of its own.
    pub(crate) limits: RelayLimits,
}

impl RelaySection {
    pub(crate) fn check(&self, check: &mut SettingsCheck<'_>) -> RelaySettings {
        let seconds = |time: DurationValue| u64::from(!time.0.is_zero());
        let at_least_one =
            [("probe", seconds(self.probe)), ("retry", seconds(self.retry)), ("held_max", self.held_max.into())];
        check.at_least_one(&["relay"], &at_least_one);
        let mut allow = Vec::new();
        for text in &self.allow {
            match allowed_way(text) {
                Some(way) => allow.push(way),
                None => check.invalid(
                    &["relay", "allow"],
                    format!("\"{text}\": a way is written as \"ORIGIN -> DESTINATION\", both patterns of server names"),
                ),
            }
        }
        let limits = RelayLimits {
            after: self.after.0,
            probe: self.probe.0,
            retry: self.retry.0,
            held_max: self.held_max,
            ..RelayLimits::default()
        };
        RelaySettings { allow, limits }
    }
}

fn allowed_way(text: &str) -> Option<(NamePattern, NamePattern)> {
    let (origin, destination) = text.split_once("->")?;
    Some((origin.trim().parse().ok()?, destination.trim().parse().ok()?))
}

/// Reads the `route` of a peer.
pub(crate) fn route(written: &[String]) -> Result<Vec<RouteStep>, String> {
    let mut route = Vec::new();
    for text in written {
        let step = match text.strip_prefix("via:") {
            None if text == "direct" => RouteStep::Direct,
            None => return Err(format!("\"{text}\": a way is \"direct\" or \"via:SERVER\"")),
            Some(name) => {
                let server = name.parse::<ServerName>().map_err(|error| format!("\"{text}\": {error}"))?;
                RouteStep::Via(server)
            }
        };
        if route.contains(&step) {
            return Err(format!("\"{text}\" is there twice"));
        }
        route.push(step);
    }
    if route.is_empty() {
        return Err("a route has at least one way; \"direct\" is the usual one".to_owned());
    }
    Ok(route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_ways_are_pairs_of_patterns() {
        let (origin, destination) = allowed_way("*.a.example -> c.example").expect("a way");
        assert_eq!((origin.as_str(), destination.as_str()), ("*.a.example", "c.example"));
        for text in ["a.example", "a.example ->", "a b -> c", ""] {
            assert_eq!(allowed_way(text), None, "{text:?}");
        }
    }

    #[test]
    fn routes_are_ways_without_repeats() {
        let read = |steps: &[&str]| route(&steps.iter().map(|&step| step.to_owned()).collect::<Vec<_>>());
        let via = |name: &str| RouteStep::Via(name.parse().expect("valid"));
        assert_eq!(read(&["direct", "via:b:1"]), Ok(vec![RouteStep::Direct, via("b:1")]));
        assert_eq!(read(&["via:b"]), Ok(vec![via("b")]));
        for bad in [&[][..], &["b"], &["via:"], &["via:b..c"], &["direct", "direct"]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
