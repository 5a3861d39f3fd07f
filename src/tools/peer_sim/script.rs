//! Selects a peer's response to its next request: by a script, or at random.

use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

/// The response to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScriptedBehaviour {
    Ok,
    Slow(Duration),
    Drip(Duration),
    Close,
    Silent,
    Huge,
    Garbage,
    Wait(Duration),
    Hole,
    Status(u16),
    TooMany(usize),
    Lie(FalseAnswer),
    /// Connections are refused.
    Refuse,
    /// Connection attempts never complete.
    Blackhole,
}

/// A false response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FalseAnswer {
    Seq,
    Receive,
    Json,
    Hole,
    Verdicts,
}

/// Error: a text is not a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadScript {
    #[error("{0:?} is no behaviour; they are listed by fernpost peer-sim --help")]
    Unknown(String),
    #[error("{name} needs {what}, as in {name}:{example}")]
    Argument { name: &'static str, what: &'static str, example: &'static str },
    #[error("{0:?} is no number of times")]
    Times(String),
    #[error("{0:?} is no weight, as in ok=8")]
    Weight(String),
    #[error("refuse and blackhole stand alone: whoever cannot be reached does nothing else")]
    NotAlone,
    #[error("there is nothing in it")]
    Empty,
}

impl ScriptedBehaviour {
    /// Parses a behaviour from the first parts, and returns the remaining ones.
    fn read<'a, 'b>(parts: &'b [&'a str]) -> Result<(Self, &'b [&'a str]), BadScript> {
        let (name, rest) = parts.split_first().ok_or(BadScript::Empty)?;
        let time = |name, example| {
            let given = rest.first().and_then(|text| humantime::parse_duration(text).ok());
            given.ok_or(BadScript::Argument { name, what: "a time", example })
        };
        let simple = match *name {
            "ok" => Self::Ok,
            "close" => Self::Close,
            "silent" => Self::Silent,
            "huge" => Self::Huge,
            "garbage" => Self::Garbage,
            "hole" => Self::Hole,
            "4xx" => Self::Status(403),
            "5xx" => Self::Status(503),
            "lie-seq" => Self::Lie(FalseAnswer::Seq),
            "lie-receive" => Self::Lie(FalseAnswer::Receive),
            "lie-json" => Self::Lie(FalseAnswer::Json),
            "lie-hole" => Self::Lie(FalseAnswer::Hole),
            "lie-verdicts" => Self::Lie(FalseAnswer::Verdicts),
            "refuse" => Self::Refuse,
            "blackhole" => Self::Blackhole,
            "slow" => return Ok((Self::Slow(time("slow", "200ms")?), &rest[1..])),
            "drip" => return Ok((Self::Drip(time("drip", "5ms")?), &rest[1..])),
            "wait" => return Ok((Self::Wait(time("wait", "2s")?), &rest[1..])),
            "too-many" => {
                let count = rest.first().and_then(|text| text.parse().ok());
                let count =
                    count.ok_or(BadScript::Argument { name: "too-many", what: "a number of items", example: "10" })?;
                return Ok((Self::TooMany(count), &rest[1..]));
            }
            other => match other.parse::<u16>() {
                Ok(status @ 300..=599) => Self::Status(status),
                _ => return Err(BadScript::Unknown(other.to_owned())),
            },
        };
        Ok((simple, rest))
    }

    /// Returns whether the peer never receives a request.
    pub(super) const fn is_unreachable(self) -> bool {
        matches!(self, Self::Refuse | Self::Blackhole)
    }
}

/// A sequence of behaviours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SimScript(Vec<(ScriptedBehaviour, Option<u32>)>);

impl FromStr for SimScript {
    type Err = BadScript;

    fn from_str(text: &str) -> Result<Self, BadScript> {
        let mut steps = vec![];
        for step in text.split(',').map(str::trim) {
            let parts: Vec<&str> = step.split(':').collect();
            let (behaviour, rest) = ScriptedBehaviour::read(&parts)?;
            let times = match rest {
                [] => None,
                [times] => match times.parse() {
                    Ok(0) | Err(_) => return Err(BadScript::Times((*times).to_owned())),
                    Ok(times) => Some(times),
                },
                [_, more, ..] => return Err(BadScript::Times((*more).to_owned())),
            };
            steps.push((behaviour, times));
        }
        if steps.len() > 1 && steps.iter().any(|(behaviour, _)| behaviour.is_unreachable()) {
            return Err(BadScript::NotAlone);
        }
        Ok(Self(steps))
    }
}

impl SimScript {
    /// Returns the behaviour for request number `n`, counted from 0.
    fn at(&self, n: u64) -> ScriptedBehaviour {
        let mut left = n;
        for (place, (behaviour, times)) in self.0.iter().enumerate() {
            let times = match times {
                None if place + 1 == self.0.len() => return *behaviour,
                None => 1,
                Some(times) => u64::from(*times),
            };
            if left < times {
                return *behaviour;
            }
            left -= times;
        }
        ScriptedBehaviour::Ok
    }
}

/// Behaviours with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RandomBehaviour(Vec<(ScriptedBehaviour, u32)>);

impl FromStr for RandomBehaviour {
    type Err = BadScript;

    fn from_str(text: &str) -> Result<Self, BadScript> {
        let mut weights = vec![];
        for entry in text.split(',').map(str::trim) {
            let weight = || BadScript::Weight(entry.to_owned());
            let (name, number) = entry.split_once('=').ok_or_else(weight)?;
            let parts: Vec<&str> = name.split(':').collect();
            let (behaviour, rest) = ScriptedBehaviour::read(&parts)?;
            if behaviour.is_unreachable() {
                return Err(BadScript::NotAlone);
            }
            let number = number.parse().ok().filter(|_| rest.is_empty()).ok_or_else(weight)?;
            weights.push((behaviour, number));
        }
        match weights.iter().any(|(_, weight)| *weight > 0) {
            true => Ok(Self(weights)),
            false => Err(BadScript::Empty),
        }
    }
}

impl RandomBehaviour {
    fn draw(&self, rng: &mut Rng) -> ScriptedBehaviour {
        let total: u64 = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut drawn = rng.u64(..total);
        for (behaviour, weight) in &self.0 {
            match drawn.checked_sub(u64::from(*weight)) {
                Some(rest) => drawn = rest,
                None => return *behaviour,
            }
        }
        ScriptedBehaviour::Ok
    }
}

/// The source of the next behaviour.
#[derive(Debug, Clone)]
pub(super) enum SimPlan {
    Script(SimScript),
    Chance(RandomBehaviour, Rng),
}

impl SimPlan {
    /// Returns the behaviour for a peer's request number `n`.
    pub(super) fn next(&mut self, n: u64) -> ScriptedBehaviour {
        match self {
            Self::Script(script) => script.at(n),
            Self::Chance(chance, rng) => chance.draw(rng),
        }
    }

    /// Returns the behaviour if peers under this plan cannot be reached at all.
    pub(super) fn unreachable(&self) -> Option<ScriptedBehaviour> {
        match self {
            Self::Script(script) => Some(script.at(0)).filter(|first| first.is_unreachable()),
            Self::Chance(..) => None,
        }
    }

    /// Returns the same plan with a random generator of its own.
    pub(super) fn fork(&mut self) -> Self {
        match self {
            Self::Script(script) => Self::Script(script.clone()),
            Self::Chance(chance, rng) => Self::Chance(chance.clone(), rng.fork()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(script: &str, count: u64) -> Vec<ScriptedBehaviour> {
        let script: SimScript = script.parse().expect("a script");
        (0..count).map(|n| script.at(n)).collect()
    }

    #[test]
    fn last_script_step_repeats() {
        use ScriptedBehaviour::*;
        let wait = Wait(Duration::from_secs(2));
        assert_eq!(first("ok:2,5xx:1,wait:2s,silent", 6), [Ok, Ok, Status(503), wait, Silent, Silent]);
        assert_eq!(first("wait:2s:2", 4), [wait, wait, Ok, Ok], "counted out, it is well-behaved");
        assert_eq!(first("429,too-many:10", 3), [Status(429), TooMany(10), TooMany(10)]);
    }

    #[test]
    fn invalid_script_error_shows_syntax() {
        for (text, words) in [
            ("", "is no behaviour"),
            ("okay", "\"okay\" is no behaviour"),
            ("slow", "slow needs a time, as in slow:200ms"),
            ("too-many:x", "too-many needs a number of items"),
            ("ok:x", "\"x\" is no number of times"),
            ("ok:0", "\"0\" is no number of times"),
            ("ok:1:2", "\"2\" is no number of times"),
            ("ok,refuse", "stand alone"),
            ("200", "is no behaviour"),
        ] {
            let error = text.parse::<SimScript>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
        for text in ["ok", "ok=x", "ok=0", "refuse=1", "ok:3=1"] {
            assert!(text.parse::<RandomBehaviour>().is_err(), "{text}");
        }
    }

    #[test]
    fn chance_is_seeded_and_weighted() {
        let chance: RandomBehaviour = "ok=9,close=1".parse().expect("weights");
        let draws = |seed| {
            let mut plan = SimPlan::Chance(chance.clone(), Rng::with_seed(seed));
            (0..1000).map(|n| plan.next(n)).collect::<Vec<_>>()
        };
        assert_eq!(draws(7), draws(7));
        let closed = draws(7).iter().filter(|drawn| **drawn == ScriptedBehaviour::Close).count();
        assert!((50..200).contains(&closed), "{closed} of 1000");
    }
}
