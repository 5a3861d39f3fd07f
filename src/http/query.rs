//! Parses queries; errors name the key and the value.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::error::QueryPayloadError;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;

use crate::http::error::ApiError;
use crate::json::serde_errors::{SourceFormat, in_words};

/// Characters of a query or of a key that are shown in an error.
const SHOWN: usize = 200;
const KEY_SHOWN: usize = 80;

/// Maximum number of parts of a query in which the wrong one is looked for: no endpoint has half as many keys.
const PARTS_MAX: usize = 20;

/// Parses the text after the question mark.
pub fn read<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    whole(query).map_err(|error| {
        // The parser's error names no key if a value has the wrong type, so each part is parsed alone to find the key.
        let parts = query.split('&').filter(|part| !part.is_empty()).take(PARTS_MAX);
        let alone = parts.filter_map(|part| Some((part, whole::<T>(part).err()?)));
        let wrong = alone.map(|(part, error)| (part, said(&error))).find(|(_, why)| !why.starts_with("missing field"));
        let why = wrong.map_or_else(|| in_words(&said(&error), SourceFormat::Json), |(part, why)| in_part(part, &why));
        let shown: String = query.chars().take(SHOWN).collect();
        ApiError::bad_request("BAD_QUERY", format!("the query {shown:?} cannot be read: {why}"))
    })
}

fn whole<T: DeserializeOwned>(query: &str) -> Result<T, QueryPayloadError> {
    web::Query::from_query(query).map(web::Query::into_inner)
}

fn said(error: &QueryPayloadError) -> String {
    match error {
        QueryPayloadError::Deserialize(why) => why.to_string(),
        other => other.to_string(),
    }
}

/// Returns the message for an error in one part of a query.
fn in_part(part: &str, why: &str) -> String {
    let key: String = part.split('=').next().unwrap_or(part).chars().take(KEY_SHOWN).collect();
    match why {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            format!("{key} must be a whole number")
        }
        "number too large to fit in target type" => format!("the number of {key} is too large"),
        "number too small to fit in target type" => format!("the number of {key} is too small"),
        "provided string was not `true` or `false`" => format!("{key} must be true or false"),
        other => in_words(other, SourceFormat::Json),
    }
}

/// Extracts the query of a request for its handler.
#[derive(Debug)]
pub struct QueryParams<T>(pub T);

impl<T> QueryParams<T> {
    /// Returns the parsed query.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for QueryParams<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for QueryParams<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(read(request.query_string()).map(Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Before {
        #[expect(dead_code, reason = "read, and never looked at")]
        before: Option<i64>,
        #[expect(dead_code, reason = "read, and never looked at")]
        limit: Option<u32>,
    }

    #[test]
    fn query_error_names_key_and_value() {
        for (query, why) in [
            ("before=zzz", "before must be a whole number"),
            ("before=1&limit=", "limit must be a whole number"),
            ("limit=-1", "limit must be a whole number"),
            ("limit=99999999999", "the number of limit is too large"),
            ("after=1", "unknown key \"after\"; expected \"before\" or \"limit\""),
            ("limit=1&limit=2", "the key \"limit\" is there twice"),
        ] {
            let expected = format!("the query {query:?} cannot be read: {why}");
            assert_eq!(read::<Before>(query).expect_err("unreadable").to_string(), expected);
        }
        assert!(read::<Before>("before=-7&limit=3").is_ok());
    }
}
