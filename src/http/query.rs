//! Queries of calls: read, or refused in words that name what was written.

use actix_web::error::QueryPayloadError;
use actix_web::web::Query;
use serde::de::DeserializeOwned;

use super::refusal::Problem;

/// Characters of a query that are shown.
const SHOWN: usize = 200;

/// What the text behind the question mark says.
pub fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    Query::from_query(query).map(Query::into_inner).map_err(|error| unreadable(&error, query))
}

/// A query that cannot be read. The reader names no key where a value is none of its kind, so the whole query is shown.
pub fn unreadable(error: &QueryPayloadError, query: &str) -> Problem {
    let why = match error {
        QueryPayloadError::Deserialize(why) => why.to_string(),
        other => other.to_string(),
    };
    let shown: String = query.chars().take(SHOWN).collect();
    Problem::bad_request("BAD_QUERY", format!("the query {shown:?} cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[expect(dead_code, reason = "read, and never looked at")]
        before: Option<i64>,
    }

    #[test]
    fn a_query_that_cannot_be_read_is_told_by_its_key_and_value() {
        for (query, why) in [
            ("before=zzz", "the query \"before=zzz\" cannot be read: invalid digit found in string"),
            ("after=1", "the query \"after=1\" cannot be read: unknown field `after`, expected `before`"),
        ] {
            assert_eq!(read::<Asked>(query).expect_err("unreadable").to_string(), why);
        }
        assert!(read::<Asked>("before=-7").is_ok());
    }
}
