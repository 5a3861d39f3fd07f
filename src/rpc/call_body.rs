//! The body of a call: any JSON object. Its bytes are passed on; only `method` is read, for the methods of the gateway.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::http::json_error;
use crate::json::reader::text;

/// The method that a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CalledMethod {
    /// `method`, if it is a text.
    pub(crate) name: Option<String>,
}

impl CalledMethod {
    /// Reads the method of a body; an error says why the body is no JSON object.
    pub(crate) fn of(body: &[u8]) -> Result<Self, String> {
        let body = std::str::from_utf8(body).map_err(|bad| json_error::utf8(&bad))?;
        let mut parser = serde_json::Deserializer::from_str(body);
        let read = Self::deserialize(&mut parser).and_then(|method| parser.end().map(|()| method));
        read.map_err(|error| json_error::words(&error))
    }
}

impl<'de> Deserialize<'de> for CalledMethod {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(BodyReading)
    }
}

struct BodyReading;

impl<'de> Visitor<'de> for BodyReading {
    type Value = CalledMethod;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CalledMethod, A::Error> {
        let mut method: Option<&RawValue> = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "method" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            // The messenger might read the other one.
            if method.replace(map.next_value()?).is_some() {
                return Err(A::Error::custom("the key \"method\" is there twice"));
            }
        }
        Ok(CalledMethod { name: method.and_then(|name| text(name.get())).map(|name| name.into_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(body: &str) -> Option<String> {
        CalledMethod::of(body.as_bytes()).unwrap_or_else(|why| panic!("{body}: {why}")).name
    }

    #[test]
    fn any_object_is_a_call() {
        assert_eq!(method("{}"), None);
        assert_eq!(method(r#"{"method":["a"],"x":1,"x":2}"#), None, "the messenger's own business");
        assert_eq!(method(r#" {"id":{"method":"a"},"method":"b"} "#).as_deref(), Some("b"));
        assert_eq!(method(r#"{"m\u0065thod":"fernpost\u002eping"}"#).as_deref(), Some("fernpost.ping"));
    }

    #[test]
    fn other_body_is_no_call() {
        for bad in ["", "null", "[]", "7", "\"a\"", "{", "{}{}", "{\"a\":NaN}", r#"{"method":"a","method":"b"}"#] {
            assert!(CalledMethod::of(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(CalledMethod::of(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
    }
}
