//! The keys of a PDU, one at a time: there or not, and of the kind they must be.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::NAME_BYTES_MAX;
use crate::wire::json::{self, Member};

/// Why a PDU is refused.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// A flaw in words.
pub(super) fn flaw(code: &'static str, reason: impl Into<String>) -> Flaw {
    Flaw { code, reason: reason.into() }
}

/// The members of a PDU.
pub(super) struct Fields<'a>(pub(super) Vec<Member<'a>>);

impl<'a> Fields<'a> {
    /// The value of a key; one that is null is not there.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        json::get(&self.0, key).filter(|value| value.get() != "null")
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &'static str) -> Result<&'a RawValue, Flaw> {
        self.get(key).ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// The text of a key that must be there.
    pub(super) fn text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, Flaw> {
        text(self.required(key)?, key, code)
    }

    /// The same, of bounded length.
    pub(super) fn short_text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, Flaw> {
        let text = self.text(key, code)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(flaw(code, format!("{key} has more than {NAME_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    /// A key as a name; `None`: it is not there.
    pub(super) fn name<T>(&self, key: &'static str, code: &'static str) -> Result<Option<T>, Flaw>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.get(key) else { return Ok(None) };
        text(value, key, code)?.parse().map(Some).map_err(|bad| flaw(code, format!("{key}: {bad}")))
    }

    /// A key as a name that must be there.
    pub(super) fn required_name<T>(&self, key: &'static str, code: &'static str) -> Result<T, Flaw>
    where
        T: FromStr<Err: Display>,
    {
        self.required(key)?;
        self.name(key, code)?.ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// What can be told of a key in an answer, whatever is wrong with the rest: a text of bounded length.
    pub(super) fn told(&self, key: &str) -> Option<String> {
        json::text(self.get(key)?).filter(|text| text.len() <= NAME_BYTES_MAX).map(Cow::into_owned)
    }
}

fn text<'a>(value: &'a RawValue, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, Flaw> {
    json::text(value).ok_or_else(|| flaw(code, format!("{key} is not a text")))
}
