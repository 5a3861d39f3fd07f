//! The canonical text of a JSON object, over which hashes and signatures are made; see `docs/protocol.md#canonical-json`.
//!
//! It is stricter than `write_canonical` of `canonical`, which compares what a messenger repeats: a text in
//! which two readers could see different values has no canonical form. It reads each byte once, because what is verified
//! comes from strangers.

use serde_json::value::RawValue;

use crate::json::nesting::nests_deeper_than;

/// An object whose members are canonical, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalObject(Vec<(String, Vec<u8>)>);

/// Error: a text has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalJsonError {
    /// The text is no JSON object.
    #[error("it is no JSON object")]
    NotAnObject,
    /// The text nests too deep to be read by recursion.
    #[error("it nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// An object has a key twice.
    #[error("the key {0:?} is there twice")]
    DuplicateKey(String),
    /// A string contains half a surrogate pair, which is no character.
    #[error("a string contains half a surrogate pair")]
    HalfSurrogate,
}

/// Maximum nesting depth. It is above that of a PDU, and of every body that is accepted.
const DEPTH_MAX: usize = 128;

/// Number of characters of a key that an error shows.
const KEY_SHOWN: usize = 40;

impl CanonicalObject {
    /// Reads an object.
    pub fn read(text: &str) -> Result<Self, CanonicalJsonError> {
        if nests_deeper_than(DEPTH_MAX, text.as_bytes()) {
            return Err(CanonicalJsonError::TooDeep);
        }
        let valid: &RawValue = serde_json::from_str(text).map_err(|_| CanonicalJsonError::NotAnObject)?;
        let mut reader = CanonicalReader { text: valid.get(), at: 0 };
        match reader.next_byte() {
            Some(b'{') => reader.object().map(Self),
            _ => Err(CanonicalJsonError::NotAnObject),
        }
    }

    /// Returns the canonical text of a member.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.place(key).ok().map(|place| &*self.0[place].1)
    }

    /// Sets a member to a text, which must be canonical.
    pub fn set(&mut self, key: &str, text: Vec<u8>) {
        match self.place(key) {
            Ok(place) => self.0[place].1 = text,
            Err(place) => self.0.insert(place, (key.to_owned(), text)),
        }
    }

    /// Returns the canonical text of the object without some members.
    pub fn text_without(&self, left_out: &[&str]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.iter().map(|(key, value)| key.len() + value.len() + 4).sum());
        write_object(&mut out, self.0.iter().filter(|(key, _)| !left_out.contains(&&**key)));
        out
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(key))
    }
}

fn write_object<'m>(out: &mut Vec<u8>, members: impl Iterator<Item = &'m (String, Vec<u8>)>) {
    out.push(b'{');
    for (place, (key, value)) in members.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
}

/// Writes a string with the escapes that JSON requires, in their short forms; all other characters stand for themselves.
fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a text into memory");
}

/// Reads a text that is valid JSON.
struct CanonicalReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> CanonicalReader<'a> {
    /// Returns the next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Writes the next value.
    fn value(&mut self, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
        match self.next_byte() {
            Some(b'{') => {
                let members = self.object()?;
                write_object(out, members.iter());
            }
            Some(b'[') => self.array(out)?,
            Some(b'"') => write_string(out, &self.string()?),
            _ => {
                // A number or a word stands as it is written, because no number may be rounded.
                let rest = &self.text.as_bytes()[self.at..];
                let is_part = |byte: &&u8| !matches!(byte, b',' | b']' | b'}') && !byte.is_ascii_whitespace();
                let length = rest.iter().take_while(is_part).count();
                out.extend_from_slice(&rest[..length]);
                self.at += length;
            }
        }
        Ok(())
    }

    /// Reads an object and returns its members, sorted by code point, which is the order of their bytes.
    fn object(&mut self) -> Result<Vec<(String, Vec<u8>)>, CanonicalJsonError> {
        self.at += 1;
        let mut members = Vec::new();
        while self.next_byte() == Some(b'"') {
            let key = self.string()?;
            self.skip(b':');
            let mut value = Vec::new();
            self.value(&mut value)?;
            members.push((key, value));
            self.skip(b',');
        }
        self.skip(b'}');
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(CanonicalJsonError::DuplicateKey(pair[0].0.chars().take(KEY_SHOWN).collect())),
            None => Ok(members),
        }
    }

    fn array(&mut self, out: &mut Vec<u8>) -> Result<(), CanonicalJsonError> {
        self.at += 1;
        out.push(b'[');
        while !matches!(self.next_byte(), Some(b']') | None) {
            self.value(out)?;
            if self.skip(b',') {
                out.push(b',');
            }
        }
        self.skip(b']');
        out.push(b']');
        Ok(())
    }

    /// Reads the string that begins here.
    fn string(&mut self) -> Result<String, CanonicalJsonError> {
        let (rest, mut length) = (&self.text.as_bytes()[self.at..], 1);
        while rest.get(length).is_some_and(|byte| *byte != b'"') {
            length += if rest[length] == b'\\' { 2 } else { 1 };
        }
        let written: &'a str = &self.text[self.at..=self.at + length];
        self.at += length + 1;
        serde_json::from_str(written).map_err(|_| CanonicalJsonError::HalfSurrogate)
    }

    /// Steps over this byte if it is the next one.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.next_byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Result<String, CanonicalJsonError> {
        let text = CanonicalObject::read(text)?.text_without(&[]);
        Ok(String::from_utf8(text).expect("text"))
    }

    #[test]
    fn canonical_object_edits_members() {
        let mut object = CanonicalObject::read(r#"{"b":1,"c":[2],"a":{}}"#).expect("an object");
        object.set("bb", b"3".to_vec());
        object.set("c", b"4".to_vec());
        assert_eq!((object.get("c"), object.get("d")), (Some(&b"4"[..]), None));
        assert_eq!(object.text_without(&["a", "d"]), br#"{"b":1,"bb":3,"c":4}"#);
        assert_eq!(object.text_without(&["a", "b", "bb", "c"]), b"{}");
    }

    #[test]
    fn deep_or_long_text_terminates() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(canonical(&deep(100)).as_deref(), Ok(&*deep(100)));
        assert_eq!(canonical(&deep(200_000)), Err(CanonicalJsonError::TooDeep));
        let long = format!("{{\"a\":[{}1]}}", "[1,{\"b\":2}],".repeat(100_000));
        assert_eq!(canonical(&long).map(|text| text.len()), Ok(long.len()));
    }
}
