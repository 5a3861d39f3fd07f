//! The check that a type is the shape of a text: it reads the text, and writes the same bytes.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads each text as a `T` and compares what it writes. Returns the last value that was read.
#[track_caller]
pub(super) fn assert_round_trip<T: Serialize + DeserializeOwned + Debug>(texts: &[&str]) -> T {
    let mut last = None;
    for text in texts {
        let value: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(serde_json::to_string(&value).expect("plain"), *text);
        last = Some(value);
    }
    last.expect("at least one text")
}
