//! Typed access to the keys of a PDU.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::NAME_BYTES_MAX;
use crate::json::reader;
use crate::json::reader::ObjectMember;

/// The reason for which a PDU is refused.
#[derive(Debug)]
pub(super) struct FieldError {
    pub(super) code: &'static str,
    pub(super) reason: String,
}

/// Builds the reason why a PDU is invalid.
pub(super) fn flaw(code: &'static str, reason: impl Into<String>) -> FieldError {
    FieldError { code, reason: reason.into() }
}

/// The members of a PDU.
pub(super) struct PduFields<'a>(pub(super) Vec<ObjectMember<'a>>);

impl<'a> PduFields<'a> {
    /// Returns the value of a key; null counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        reader::get(&self.0, key).filter(|value| value.get() != "null")
    }

    /// Returns the value of a required key.
    pub(super) fn required(&self, key: &'static str) -> Result<&'a RawValue, FieldError> {
        self.get(key).ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// Returns the text of a required key.
    pub(super) fn text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
        text(self.required(key)?, key, code)
    }

    /// Returns the text of a required key, limited in length.
    pub(super) fn short_text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
        let text = self.text(key, code)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(flaw(code, format!("{key} has more than {NAME_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    /// Returns the value of a key parsed as a name; `None` if it is absent.
    pub(super) fn name<T>(&self, key: &'static str, code: &'static str) -> Result<Option<T>, FieldError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.get(key) else { return Ok(None) };
        text(value, key, code)?.parse().map(Some).map_err(|bad| flaw(code, format!("{key}: {bad}")))
    }

    /// Returns the value of a required key parsed as a name.
    pub(super) fn required_name<T>(&self, key: &'static str, code: &'static str) -> Result<T, FieldError>
    where
        T: FromStr<Err: Display>,
    {
        self.required(key)?;
        self.name(key, code)?.ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// Returns the text of a key for a response about an invalid PDU; `None` if the text is too long.
    pub(super) fn told(&self, key: &str) -> Option<String> {
        reader::text(self.get(key)?).filter(|text| text.len() <= NAME_BYTES_MAX).map(Cow::into_owned)
    }
}

fn text<'a>(value: &'a RawValue, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
    reader::text(value).ok_or_else(|| flaw(code, format!("{key} is not a text")))
}
