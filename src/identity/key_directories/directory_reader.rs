//! Reads the key directory of another server: a JWK set, of which only sound Ed25519 keys count.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::identity::key_id::KeyId;
use crate::identity::public_key::{PeerKeys, PublicKey};

/// Maximum bytes of a directory.
pub const DIRECTORY_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of keys in a directory.
const KEYS_MAX: usize = 32;

/// The alphabet of URLs, with or without padding.
const LENIENT_URL_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Error: a text is no key directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// It is larger than a directory may be.
    #[error("it has more than {DIRECTORY_BYTES_MAX} bytes")]
    TooLarge,
    /// It has not the form of a JWK set.
    #[error("it is not the JSON of a JWK set")]
    NotJwkSet,
    /// It has more keys than are kept.
    #[error("it has {0} keys; at most {KEYS_MAX} are read")]
    TooManyKeys(usize),
}

#[derive(Deserialize)]
struct WrittenSet {
    keys: Vec<WrittenEntry>,
}

/// An entry, or something else that stands in its place.
#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenEntry {
    Key { kty: String, crv: String, kid: String, x: String },
    Other(serde::de::IgnoredAny),
}

/// Returns the keys of a directory. Entries of another kind, without an id, or with a key that proves nothing are skipped, so that a
/// server can publish keys for other purposes. Of two keys with one id the first counts.
pub fn read_directory(json: &[u8]) -> Result<PeerKeys, DirectoryError> {
    if json.len() > DIRECTORY_BYTES_MAX {
        return Err(DirectoryError::TooLarge);
    }
    let set: WrittenSet = serde_json::from_slice(json).map_err(|_| DirectoryError::NotJwkSet)?;
    let mut keys: Vec<(KeyId, PublicKey)> = Vec::new();
    for (id, key) in set.keys.into_iter().filter_map(usable) {
        if !keys.iter().any(|(other, _)| *other == id) {
            keys.push((id, key));
        }
    }
    match keys.len() {
        0..=KEYS_MAX => Ok(keys.into()),
        many => Err(DirectoryError::TooManyKeys(many)),
    }
}

fn usable(entry: WrittenEntry) -> Option<(KeyId, PublicKey)> {
    let WrittenEntry::Key { kty, crv, kid, x } = entry else { return None };
    if kty != "OKP" || crv != "Ed25519" {
        return None;
    }
    let key = PublicKey::from_bytes(&LENIENT_URL_BASE64.decode(x).ok()?).ok()?;
    Some((kid.parse().ok()?, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";

    fn ids(json: &str) -> Result<Vec<String>, DirectoryError> {
        read_directory(json.as_bytes()).map(|keys| keys.iter().map(|(id, _)| id.to_string()).collect())
    }

    #[test]
    fn only_sound_keys_of_directory_count() {
        let entry = |kty: &str, crv: &str, kid: &str, x: &str| {
            format!(r#"{{"kty":"{kty}","crv":"{crv}","kid":"{kid}","x":"{x}","use":"sig"}}"#)
        };
        let entries = [
            entry("OKP", "Ed25519", "good", X),
            entry("OKP", "Ed25519", "padded", &format!("{X}=")),
            entry("EC", "Ed25519", "kty", X),
            entry("OKP", "X25519", "crv", X),
            entry("OKP", "Ed25519", "a/b", X),
            entry("OKP", "Ed25519", "short", "AAAA"),
            entry("OKP", "Ed25519", "small-order", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            entry("OKP", "Ed25519", "not-canonical", "8P_______________________________________38"),
            entry("OKP", "Ed25519", "good", "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"}}"#),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"rsa"}"#.to_owned(),
            "7".to_owned(),
        ];
        let directory = format!(r#"{{"keys":[{}],"more":[]}}"#, entries.join(","));
        assert_eq!(ids(&directory), Ok(vec!["good".to_owned(), "padded".to_owned()]));
        let keys = read_directory(directory.as_bytes()).expect("a directory");
        assert_eq!(keys[0].1.to_base64(), "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw", "the first of two counts");
        assert_eq!(ids(r#"{"keys":[]}"#), Ok(vec![]));
    }

    #[test]
    fn other_texts_are_no_directory() {
        for text in ["", "null", "[]", "{}", r#"{"keys":{}}"#, "<html>", "{\"keys\":[]"] {
            assert_eq!(ids(text), Err(DirectoryError::NotJwkSet), "{text}");
        }
        let many = |count: usize| {
            let entry = |n| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{n}","x":"{X}"}}"#);
            format!(r#"{{"keys":[{}]}}"#, (0..count).map(entry).collect::<Vec<_>>().join(","))
        };
        assert_eq!(ids(&many(32)).map(|ids| ids.len()), Ok(32));
        assert_eq!(ids(&many(33)), Err(DirectoryError::TooManyKeys(33)));
        let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(DIRECTORY_BYTES_MAX));
        assert_eq!(ids(&large), Err(DirectoryError::TooLarge));
    }
}
