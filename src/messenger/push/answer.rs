//! The body of an answer to a batch: the events that the messenger refuses.

use std::collections::HashSet;

use actors::model::Position;
use serde::Deserialize;
use serde_json::Value;

use crate::egress::shown;
use crate::http::json_error;
use crate::messenger::push::machine::RefusedPosition;

/// Reason of an event that the messenger refused without giving one.
const NO_REASON: &str = "the messenger gave no reason";

#[derive(Deserialize)]
struct RefusalAnswer {
    #[serde(default)]
    refused: Vec<Value>,
}

/// The refused events of an answer, by position, and what else it contained.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadAnswer {
    /// Events of the batch that the messenger refuses.
    pub(crate) refused: Vec<RefusedPosition>,
    /// Parts of the answer that have no meaning, for the log.
    pub(crate) oddity: Option<String>,
}

/// Reads the body of a 2xx. A body without meaning counts as one that refuses nothing, because the status alone
/// acknowledges. `None`: the body is larger than is read.
pub(crate) fn read(body: Option<&[u8]>, positions: &[Position]) -> ReadAnswer {
    let nothing = |oddity: String| ReadAnswer { refused: Vec::new(), oddity: Some(oddity) };
    let Some(body) = body else { return nothing("its body is larger than 1 MiB".to_owned()) };
    if body.trim_ascii().is_empty() {
        return ReadAnswer { refused: Vec::new(), oddity: None };
    }
    let answer: RefusalAnswer = match json_error::object(body) {
        Ok(answer) => answer,
        Err(why) => return nothing(format!("its body is not {{\"refused\":[..]}}: {why}")),
    };
    // Events that were released have no order among their positions.
    let batch: HashSet<Position> = positions.iter().copied().collect();
    let mut oddity = None;
    let mut refused: Vec<RefusedPosition> = Vec::new();
    for entry in answer.refused {
        let position = entry.get("position").and_then(Value::as_u64).map(Position);
        let Some(position) = position.filter(|position| batch.contains(position)) else {
            oddity = Some(format!(
                "it refuses {}, which names no position of the batch",
                shown(entry.to_string().as_bytes())
            ));
            continue;
        };
        if refused.iter().all(|known| known.position != position) {
            let reason = entry.get("reason").and_then(Value::as_str).map(|reason| shown(reason.as_bytes()));
            let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| NO_REASON.to_owned());
            refused.push(RefusedPosition { position, reason });
        }
    }
    refused.sort_by_key(|one| one.position);
    ReadAnswer { refused, oddity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (Vec<(u64, String)>, bool) {
        let ReadAnswer { refused, oddity } = read(Some(body.as_bytes()), &[9, 3, 4].map(Position));
        (refused.into_iter().map(|one| (one.position.0, one.reason)).collect(), oddity.is_some())
    }

    #[test]
    fn answer_names_refused_events() {
        assert_eq!(refused(""), (vec![], false));
        assert_eq!(refused("{}"), (vec![], false));
        let two =
            r#"{"refused":[{"position":9,"reason":"a\nb"},{"position":3},{"position":9,"reason":"again"}],"x":1}"#;
        assert_eq!(refused(two), (vec![(3, NO_REASON.into()), (9, "a b".into())], false));
    }

    #[test]
    fn odd_answer_refuses_nothing() {
        let entries = [r#"{"position":"3"}"#, r#"{"position":5}"#, "3", r#"[3,"x"]"#, r#"{"position":3.5}"#, "null"];
        let entries = entries.map(|entry| format!(r#"{{"refused":[{entry}]}}"#));
        let others = ["OK", "[]", "{}x", r#"[[{"position":3}]]"#, r#"{"refused":7}"#].map(str::to_owned);
        for odd in entries.into_iter().chain(others) {
            assert_eq!(refused(&odd), (vec![], true), "{odd}");
        }
        let mixed = r#"{"refused":[{"position":7},{"position":4,"reason":5}]}"#;
        assert_eq!(refused(mixed), (vec![(4, NO_REASON.into())], true), "the sound entry counts");
        assert!(read(None, &[]).oddity.is_some());
    }
}
