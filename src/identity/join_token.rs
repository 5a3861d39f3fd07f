//! Join tokens: one line of text by which the operator of a server tells another one how to list it as a peer.
//!
//! A token is `fernpost-join:PAYLOAD.SIGNATURE`, both in URL-safe base64 without padding. The payload is JSON. It is signed with a key
//! that it names, so whoever changes one of its values has to replace the key, too: the reader trusts the key because of the way on which
//! the line came, as with a key that is copied by hand. The signature covers the prefix, which no signed request and no signed PDU begins
//! with, so that no signature of one kind is valid for another.

use std::fmt;
use std::time::{Duration, SystemTime};

use actors::model::ServerName;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::identity::key_folder::KEYS_MAX;
use crate::identity::key_id::KeyId;
use crate::identity::key_ring::KeyRing;
use crate::identity::public_key::{PeerKeys, PublicKey};
use crate::tls::spki_pin::SpkiPin;

/// Prefix of a token.
const PREFIX: &str = "fernpost-join:";

/// Maximum length of a token: the keys and the addresses of a server have room in it.
const TOKEN_MAX: usize = 16 * 1024;

/// Maximum number of addresses in a token.
pub const ADDRESSES_MAX: usize = 16;

/// Time by which the clocks of two servers may differ.
const SKEW_MAX: Duration = Duration::from_secs(300);

/// Maximum lifetime of a token.
pub const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The authentication that both servers use for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoinAuth {
    /// By signatures of requests.
    Signature,
    /// By certificates with pinned public keys.
    Mtls,
}

impl JoinAuth {
    /// Returns the value of `auth` in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Mtls => "mtls",
        }
    }
}

/// The description of a server, for the configuration of another one.
#[derive(Debug, Clone, PartialEq)]
pub struct JoinOffer {
    /// Name of the server.
    pub server: ServerName,
    /// Its addresses; none: it is found by its name.
    pub addresses: Vec<String>,
    /// Authentication, both ways.
    pub auth: JoinAuth,
    /// Its signing keys, those that sign later included.
    pub keys: PeerKeys,
    /// Public key of its certificate.
    pub fingerprint: Option<SpkiPin>,
    /// Time from which the token is not accepted any more.
    pub expires: SystemTime,
}

/// Error: a line is no token that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// It has another form.
    #[error("this is no join token: {0}")]
    Malformed(String),
    /// The signature is not that of the payload.
    #[error("the join token of {0} was changed, because its signature does not fit; ask for the line again")]
    BadSignature(ServerName),
    /// It is too old.
    #[error("the join token of {server} expired at {expired}; ask for a new one")]
    Expired {
        /// Server of the token.
        server: ServerName,
        /// Time at which it expired.
        expired: String,
    },
    /// It is valid for a longer time than any token of this version.
    #[error("the join token of {0} is valid for more than seven days; check the clocks of both servers")]
    TooLong(ServerName),
    /// No key signs.
    #[error("there is no signing key")]
    NoKey,
}

/// Payload of a token.
#[derive(Debug, Serialize, Deserialize)]
struct TokenPayload {
    /// Form of the token; keys that are added do not change it.
    v: u32,
    server: String,
    addresses: Vec<String>,
    auth: JoinAuth,
    /// `KEY_ID:BASE64`; the first one signs the token.
    keys: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    expires: String,
}

impl JoinOffer {
    /// Returns the token of this offer, signed with the active key of the ring. The keys of the token are those of the ring.
    pub fn signed_by(&self, ring: &KeyRing, now: SystemTime) -> Result<String, JoinTokenError> {
        let signer = ring.active(now).ok_or(JoinTokenError::NoKey)?;
        let others = ring.public_keys();
        let others = others.iter().filter(|(id, _)| id != signer.id());
        let keys = others.map(|(id, key)| written_key(id, *key));
        let payload = TokenPayload {
            v: 1,
            server: self.server.to_string(),
            addresses: self.addresses.clone(),
            auth: self.auth,
            keys: std::iter::once(written_key(signer.id(), signer.public())).chain(keys).collect(),
            fingerprint: self.fingerprint.map(|pin| pin.to_string()),
            expires: humantime::format_rfc3339_seconds(self.expires).to_string(),
        };
        let json = serde_json::to_vec(&payload).expect("texts always serialize");
        let signed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(json));
        let signature = URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }

    /// Reads a token, and verifies its signature and its time. White space is left out, because mail programs break long lines.
    pub fn read(line: &str, now: SystemTime) -> Result<Self, JoinTokenError> {
        let malformed = |why: &str| JoinTokenError::Malformed(why.to_owned());
        if line.len() > 2 * TOKEN_MAX {
            return Err(malformed("it is too long"));
        }
        let line: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        if line.len() > TOKEN_MAX {
            return Err(malformed("it is too long"));
        }
        let body = line.strip_prefix(PREFIX).ok_or_else(|| malformed("it does not begin with \"fernpost-join:\""))?;
        let (payload, signature) = body.split_once('.').ok_or_else(|| malformed("its end is missing"))?;
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed("it is cut off or was changed"));
        let json = decoded(payload)?;
        let payload_json: TokenPayload = serde_json::from_slice(&json)
            .map_err(|error| malformed(&format!("its content cannot be read: {error}")))?;
        let signature: [u8; 64] =
            decoded(signature)?.try_into().map_err(|_| malformed("its signature is cut off or was changed"))?;
        let offer = payload_json.offer()?;
        let signed = &line[..PREFIX.len() + payload.len()];
        let signer = offer.keys.first().ok_or_else(|| malformed("it has no key"))?.1;
        if !signer.verifies(signed.as_bytes(), &signature) {
            return Err(JoinTokenError::BadSignature(offer.server));
        }
        offer.check_time(now)?;
        Ok(offer)
    }

    fn check_time(&self, now: SystemTime) -> Result<(), JoinTokenError> {
        let server = self.server.clone();
        if now >= self.expires {
            let expired = humantime::format_rfc3339_seconds(self.expires).to_string();
            return Err(JoinTokenError::Expired { server, expired });
        }
        match self.expires.duration_since(now) {
            Ok(left) if left > LIFETIME_MAX + SKEW_MAX => Err(JoinTokenError::TooLong(server)),
            _ => Ok(()),
        }
    }

    /// Returns the keys as they are written in a configuration.
    pub fn written_keys(&self) -> Vec<String> {
        self.keys.iter().map(|(id, key)| written_key(id, *key)).collect()
    }
}

impl TokenPayload {
    /// Returns the offer, if each value is valid.
    fn offer(self) -> Result<JoinOffer, JoinTokenError> {
        let malformed = |what: &str, why: &dyn fmt::Display| JoinTokenError::Malformed(format!("its {what}: {why}"));
        if self.v != 1 {
            return Err(malformed("version", &format!("it is {}, and this version of Fernpost reads 1", self.v)));
        }
        let server: ServerName = self.server.parse().map_err(|error| malformed("server", &error))?;
        if self.addresses.len() > ADDRESSES_MAX || self.keys.len() > KEYS_MAX {
            return Err(malformed("keys or addresses", &"they are too many"));
        }
        let keys = self.keys.iter().map(|text| read_key(text).map_err(|why| malformed("keys", &why)));
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let pin = self.fingerprint.as_deref().map(str::parse::<SpkiPin>).transpose();
        if self.auth == JoinAuth::Mtls && self.fingerprint.is_none() {
            return Err(malformed("fingerprint", &"it is missing, and auth is mtls"));
        }
        let expires = humantime::parse_rfc3339(&self.expires).map_err(|error| malformed("expires", &error))?;
        Ok(JoinOffer {
            server,
            addresses: self.addresses,
            auth: self.auth,
            keys: keys.into(),
            fingerprint: pin.map_err(|error| malformed("fingerprint", &error))?,
            expires,
        })
    }
}

fn written_key(id: &KeyId, key: PublicKey) -> String {
    format!("{id}:{}", key.to_base64())
}

fn read_key(text: &str) -> Result<(KeyId, PublicKey), String> {
    let (id, key) = text.split_once(':').ok_or("a key is written as \"KEY_ID:BASE64\"")?;
    let id = id.parse::<KeyId>().map_err(|error| error.to_string())?;
    Ok((id, PublicKey::from_base64(key).map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use zeroize::Zeroizing;

    use super::*;
    use crate::identity::key_ring::StoredKey;
    use crate::identity::signing_key::OwnKey;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_793_000_000)
    }

    fn ring(seeds: &[(&str, u8)]) -> KeyRing {
        let key = |(at, (id, seed)): (u64, &(&str, u8))| StoredKey {
            key: OwnKey::from_seed(id.parse().expect("an id"), &Zeroizing::new([*seed; 32])),
            created: now(),
            // The second one is published and signs later.
            signs_from: now() + Duration::from_secs(at),
        };
        KeyRing::new((0..).zip(seeds).map(key).collect())
    }

    fn offer(ring: &KeyRing) -> JoinOffer {
        JoinOffer {
            server: "red.example".parse().expect("a name"),
            addresses: vec!["https://192.0.2.1:9880".to_owned()],
            auth: JoinAuth::Signature,
            keys: ring.public_keys(),
            fingerprint: Some(SpkiPin::of(b"key")),
            expires: now() + HOUR,
        }
    }

    #[test]
    fn token_reads_what_was_offered() {
        let ring = ring(&[("1", 7), ("2", 8)]);
        let line = offer(&ring).signed_by(&ring, now()).expect("a key signs");
        assert!(line.lines().count() == 1 && line.is_ascii() && !line.contains(' '), "{line}");
        assert_eq!(JoinOffer::read(&line, now()), Ok(offer(&ring)));
        let (head, tail) = line.split_at(80);
        assert_eq!(JoinOffer::read(&format!("  {head}\r\n{tail}\n"), now()), Ok(offer(&ring)), "a mail broke the line");
        assert_eq!(offer(&ring).signed_by(&KeyRing::default(), now()), Err(JoinTokenError::NoKey));
    }

    #[test]
    fn changed_token_is_refused() {
        let ring = ring(&[("1", 7)]);
        let line = offer(&ring).signed_by(&ring, now()).expect("a key signs");
        let (signed, signature) = line.split_once('.').expect("two parts");
        let json = URL_SAFE_NO_PAD.decode(&signed[PREFIX.len()..]).expect("base64");
        let json = String::from_utf8(json).expect("JSON");
        let with = |json: &str| format!("{PREFIX}{}.{signature}", URL_SAFE_NO_PAD.encode(json));
        assert_eq!(JoinOffer::read(&with(&json), now()), Ok(offer(&ring)));
        let changed = with(&json.replace("192.0.2.1", "192.0.2.2"));
        assert_eq!(JoinOffer::read(&changed, now()), Err(JoinTokenError::BadSignature(offer(&ring).server)));
        let other = with(&json.replace("\"v\":1", "\"v\":2"));
        let unpinned = with(&json.replace("signature", "mtls").replace("fingerprint", "other"));
        for bad in ["", "x", PREFIX, signed, &line[..line.len() - 4], &other, &unpinned, &"x".repeat(3 * TOKEN_MAX)] {
            let refused = JoinOffer::read(bad, now());
            assert!(matches!(refused, Err(JoinTokenError::Malformed(_))), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn token_is_valid_until_it_expires() {
        let ring = ring(&[("1", 7)]);
        let line = offer(&ring).signed_by(&ring, now()).expect("a key signs");
        assert!(JoinOffer::read(&line, now() + HOUR - Duration::from_secs(1)).is_ok());
        let late = JoinOffer::read(&line, now() + HOUR).expect_err("expired").to_string();
        assert!(late.contains("red.example") && late.contains("2026-10-26T08:33:20Z"), "{late}");
        let endless = JoinOffer { expires: now() + 2 * LIFETIME_MAX, ..offer(&ring) };
        let endless = endless.signed_by(&ring, now()).expect("a key signs");
        assert_eq!(JoinOffer::read(&endless, now()), Err(JoinTokenError::TooLong(offer(&ring).server)));
    }
}
