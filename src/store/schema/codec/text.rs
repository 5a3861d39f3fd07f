//! Fields that the store reads from the text of a PDU, because no column holds them: the depth and the time stated by its origin, and
//! `to`.

use actors::model::{Millis, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Part of the text of each narrowed PDU; texts are stored in one form.
const NARROWED: &str = ",\"to\":[";

#[derive(Deserialize)]
struct NarrowedText<'a> {
    depth: Option<u64>,
    #[serde(borrow)]
    to: Option<&'a RawValue>,
}

fn said(text: &[u8]) -> Option<NarrowedText<'_>> {
    serde_json::from_slice(text).ok()
}

/// Returns the depth that the PDU's origin states.
pub(crate) fn stated_depth(text: &[u8]) -> Option<u64> {
    said(text)?.depth
}

#[derive(Deserialize)]
struct TimedText<'a> {
    #[serde(borrow)]
    ts: &'a RawValue,
}

/// Times from this one on are none, because not every reader of JSON has whole numbers beyond it.
const TIMES_END: u64 = 1 << 53;

/// Returns the time that the PDU's origin states, without the fraction of a millisecond. A negative time and one beyond 2^53 are none.
pub(crate) fn stated_time(text: &[u8]) -> Option<Millis> {
    let timed: TimedText<'_> = serde_json::from_slice(text).ok()?;
    let written = timed.ts.get();
    let whole = written.parse::<u64>().ok().or_else(|| {
        let number = written.parse::<f64>().ok()?;
        // Both bounds are exact in this type.
        (0.0..TIMES_END as f64).contains(&number).then_some(number as u64)
    })?;
    (whole < TIMES_END).then_some(Millis(whole))
}

/// Returns the recipients of a narrowed PDU: a list under `to`. Any other value of this key has no meaning here.
pub(crate) fn narrowed_to(text: &[u8]) -> Option<Vec<ServerName>> {
    // Few PDUs are narrowed, and this test is cheaper than parsing the text.
    if !str::from_utf8(text).ok()?.contains(NARROWED) {
        return None;
    }
    let names: Vec<String> = serde_json::from_str(said(text)?.to?.get()).ok()?;
    names.iter().map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_text_names_its_servers() {
        let to =
            |text: &str| narrowed_to(text.as_bytes()).map(|to| to.iter().map(ToString::to_string).collect::<Vec<_>>());
        let narrowed = r#"{"depth":3,"content":{"to":["green"]},"to":["blue","red:80"]}"#;
        assert_eq!(to(narrowed), Some(vec!["blue".to_owned(), "red:80".to_owned()]));
        for everybody in
            [r#"{"content":{"a":1,"to":["green"]}}"#, r#"{"content":0,"to":"green"}"#, r#"{"content":[,"to":["#, ""]
        {
            assert_eq!(to(everybody), None, "{everybody}");
        }
    }

    #[test]
    fn stated_time_has_no_fraction() {
        let of = |ts: &str| stated_time(format!(r#"{{"content":{{"ts":9}},"ts":{ts}}}"#).as_bytes()).map(|at| at.0);
        for (ts, at) in [("0", 0), ("1700000000000", 1_700_000_000_000), ("12.9", 12), ("1.7e12", 1_700_000_000_000)] {
            assert_eq!(of(ts), Some(at), "{ts}");
        }
        assert_eq!(of("9007199254740991"), Some((1 << 53) - 1));
        for none in ["-1", "9007199254740992", "1e300", "\"1\"", "-0.5"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(stated_time(b""), None, "a pruned PDU");
    }

    #[test]
    fn stated_depth_is_read_from_text() {
        for (text, depth) in
            [(r#"{"content":{"depth":9},"depth":3}"#, Some(3)), (r#"{"content":{}}"#, None), ("", None)]
        {
            assert_eq!(stated_depth(text.as_bytes()), depth, "{text}");
        }
    }
}
