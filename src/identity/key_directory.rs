//! The key directory (`/.well-known/http-message-signatures-directory`): the public keys of this server, as a JWK set.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::identity::key_ring::{KeyRing, StoredKey};

/// Path of the directory.
pub const KEY_DIRECTORY_PATH: &str = "/.well-known/http-message-signatures-directory";

/// Media type of the directory.
pub const KEY_DIRECTORY_TYPE: &str = "application/http-message-signatures-directory+json";

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: Vec<Jwk<'a>>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    kid: &'a str,
    x: String,
}

/// Returns the JSON of the directory: all keys, also those that do not sign yet or no longer.
pub fn key_directory_json(ring: &KeyRing) -> String {
    let x = |key: &StoredKey| URL_SAFE_NO_PAD.encode(key.key.public().as_bytes());
    let keys = ring.keys().iter().map(|key| Jwk { kty: "OKP", crv: "Ed25519", kid: key.key.id().as_str(), x: x(key) });
    serde_json::to_string(&JwkSet { keys: keys.collect() }).expect("texts always serialize")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use zeroize::Zeroizing;

    use super::*;
    use crate::identity::signing_key::OwnKey;

    #[test]
    fn directory_is_jwk_set() {
        let key = OwnKey::from_seed("2026-11".parse().expect("an id"), &Zeroizing::new([7; 32]));
        let ring = KeyRing::new(vec![StoredKey { key, created: UNIX_EPOCH, signs_from: UNIX_EPOCH }]);
        assert_eq!(
            key_directory_json(&ring),
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"2026-11","x":"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"}]}"#
        );
        assert_eq!(key_directory_json(&KeyRing::default()), r#"{"keys":[]}"#);
    }
}
