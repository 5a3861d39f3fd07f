//! Codec of the result of a failed attempt: the code of the failure on a first line, then the words for people.

use std::borrow::Cow;

use actors::model::{Attempt, FailureCode};

pub(crate) fn attempt_result_to_row(attempt: &Attempt) -> Cow<'_, str> {
    match attempt.code {
        Some(code) => Cow::Owned(format!("{code}\n{}", attempt.result)),
        None => Cow::Borrowed(&attempt.result),
    }
}

/// Returns the code and the words of a result. A first line that is no code belongs to the words.
pub(crate) fn attempt_result_from_row(row: &str) -> (Option<FailureCode>, &str) {
    let coded = row.split_once('\n').and_then(|(code, words)| Some((FailureCode::from_word(code)?, words)));
    coded.map_or((None, row), |(code, words)| (Some(code), words))
}

#[cfg(test)]
mod tests {
    use actors::model::{Index, Millis};

    use super::*;

    #[test]
    fn attempt_result_survives_its_row() {
        for (code, words) in [
            (Some(FailureCode::Http(503)), "status 503: no\nreason"),
            (Some(FailureCode::Timeout), ""),
            (None, "the peer requested number 3"),
            (None, "no\ncode"),
        ] {
            let (time, first, last) = (Millis(1), Index(2), Index(3));
            let attempt = Attempt { time, first, last, result: words.to_owned(), code };
            assert_eq!(attempt_result_from_row(&attempt_result_to_row(&attempt)), (code, words));
        }
    }
}
