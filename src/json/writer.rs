//! Writes a JSON object member by member, so that raw texts are copied unchanged.

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;

use crate::json::reader::put_text;

/// A JSON object that is being written.
pub(crate) struct RawObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> RawObjectWriter<'a> {
    /// Starts a JSON object at the end of `out`.
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a member with a plain value.
    pub(crate) fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.name(name);
        serde_json::to_writer(&mut *self.out, value).expect("plain values into memory");
    }

    /// Writes a member with a text.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        put_text(self.out, text);
    }

    /// Writes a member with a text that has no character to escape.
    pub(crate) fn plain(&mut self, name: &str, text: impl Display) {
        self.name(name);
        write!(self.out, "\"{text}\"").expect("a text into memory");
    }

    /// Writes a member if there is a value.
    pub(crate) fn optional<T: Serialize>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.member(name, &value);
        }
    }

    /// Writes a member with a JSON text, byte for byte.
    pub(crate) fn raw(&mut self, name: &str, text: impl AsRef<[u8]>) {
        self.name(name);
        self.out.extend_from_slice(text.as_ref());
    }

    /// Starts an object as a member.
    pub(crate) fn object(&mut self, name: &str) -> RawObjectWriter<'_> {
        self.name(name);
        RawObjectWriter::begin(self.out)
    }

    /// Writes the end of the object.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        // Nearly all names need no escapes: they are those of our own events.
        if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.out.push(b'"');
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"\":");
            return;
        }
        serde_json::to_writer(&mut *self.out, name).expect("a text into memory");
        self.out.push(b':');
    }
}
