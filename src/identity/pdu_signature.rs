//! The hash and the signatures of a PDU, by which a server that did not get it from its origin knows that it is the origin's; see
//! `docs/protocol.md#signed-pdus`.

use std::iter;

use actors::model::ServerName;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::identity::key_id::{KeyId, KeyName};
use crate::identity::public_key::{LENIENT_BASE64, PublicKey};
use crate::identity::signing_key::OwnKey;
use crate::json::canonical_object::{CanonicalJsonError, CanonicalObject};
use crate::json::reader;

/// Key of a PDU that holds its hashes.
pub const HASHES: &str = "hashes";

/// Key of a PDU that holds its signatures.
pub const SIGNATURES: &str = "signatures";

/// Name of the only hash.
const SHA256: &str = "sha256";

/// Name of the only algorithm of signatures, before the id of the key.
const ED25519: &str = "ed25519:";

/// The key with the parents, whose pairs a server may have swapped.
const PREV_PDUS: &str = "prev_pdus";

/// Maximum number of signatures of one PDU that are verified: a rotation needs two.
const SIGNATURES_MAX: usize = 4;

/// The members that sign a PDU, each as a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningMembers {
    /// Value of `hashes`.
    pub hashes: String,
    /// Value of `signatures`.
    pub signatures: String,
}

/// Signs a PDU of ours, which is written as it is sent, without these members.
pub fn sign_pdu(pdu: &str, us: &ServerName, key: &OwnKey) -> Result<SigningMembers, CanonicalJsonError> {
    let mut object = CanonicalObject::read(pdu)?;
    let hashes = format!("{{\"{SHA256}\":\"{}\"}}", STANDARD_NO_PAD.encode(hash_of(&object)));
    object.set(HASHES, hashes.clone().into_bytes());
    let signature = STANDARD_NO_PAD.encode(key.sign(&object.text_without(&[SIGNATURES])));
    let signatures = format!("{{\"{us}\":{{\"{ED25519}{}\":\"{signature}\"}}}}", key.id());
    Ok(SigningMembers { hashes, signatures })
}

fn hash_of(object: &CanonicalObject) -> [u8; 32] {
    Sha256::digest(object.text_without(&[HASHES, SIGNATURES])).into()
}

/// Error: a PDU does not prove that it is of its origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PduSignatureError {
    /// Its origin has not signed it.
    #[error("it carries no signature of {0}")]
    NotSigned(ServerName),
    /// None of the keys that signed it is known.
    #[error("no key {key} is known here; {why}")]
    UnknownKey {
        /// Name of the first of these keys.
        key: KeyName,
        /// The place that was to have it.
        why: String,
    },
    /// A signature or the hash is not that of the PDU.
    #[error("{0}")]
    Wrong(String),
}

/// The signatures that a PDU carries of its origin, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatedPduSignatures {
    origin: ServerName,
    /// Ids of the keys, each with the signature as it is written; `None` if that is no text.
    signatures: Vec<(KeyId, Option<String>)>,
}

impl StatedPduSignatures {
    /// Reads the signatures of the origin from the text of a PDU, which costs no computation on the curve.
    pub fn read(pdu: &str, origin: &ServerName) -> Result<Self, PduSignatureError> {
        let not_signed = || PduSignatureError::NotSigned(origin.clone());
        let members = reader::members(pdu).map_err(|_| not_signed())?;
        let stated = reader::get(&members, SIGNATURES).filter(|value| value.get() != "null").ok_or_else(not_signed)?;
        let no_object = |_| PduSignatureError::Wrong(format!("{SIGNATURES} is no object of objects"));
        let mut signatures = Vec::new();
        for server in reader::members(stated.get()).map_err(no_object)? {
            if !server.key.parse::<ServerName>().is_ok_and(|name| name == *origin) {
                continue;
            }
            for member in reader::members(server.value.get()).map_err(no_object)? {
                let id = member.key.strip_prefix(ED25519).and_then(|id| id.parse().ok());
                signatures.extend(id.map(|id| (id, reader::text(member.value.text).map(Into::into))));
            }
        }
        match signatures.is_empty() {
            true => Err(not_signed()),
            false => Ok(Self { origin: origin.clone(), signatures }),
        }
    }

    /// Checks that one of the keys is known that have signed the PDU.
    pub fn check_known(&self, keys: &[(KeyId, PublicKey)]) -> Result<(), PduSignatureError> {
        match self.signatures.iter().any(|(id, _)| keys.iter().any(|(other, _)| other == id)) {
            true => Ok(()),
            false => Err(self.unknown_key(&format!("pin it in peers.server.\"{}\".keys", self.origin))),
        }
    }

    /// Returns the ids of the keys that have signed the PDU.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.iter().map(|(id, _)| id)
    }

    /// Returns the error that none of the keys is known, with the reason.
    pub fn unknown_key(&self, why: &str) -> PduSignatureError {
        let id = self.signatures[0].0.clone();
        PduSignatureError::UnknownKey { key: KeyName { server: self.origin.clone(), id }, why: why.to_owned() }
    }

    /// Verifies the PDU with the keys of its origin: as it came, then with its pairs swapped, because servers write them in either
    /// order. One valid signature is enough.
    pub fn verify(&self, pdu: &str, keys: &[(KeyId, PublicKey)]) -> Result<(), PduSignatureError> {
        let known = self.signatures.iter().filter_map(|(id, written)| {
            let (_, key) = keys.iter().find(|(other, _)| other == id)?;
            Some((id, key, written.as_deref().and_then(signature_bytes)))
        });
        let known: Vec<_> = known.take(SIGNATURES_MAX).collect();
        if known.is_empty() {
            return Err(self.unknown_key("none of them verifies"));
        }
        let unsignable = |error| PduSignatureError::Wrong(format!("it cannot be signed: {error}"));
        let came = CanonicalObject::read(pdu).map_err(unsignable)?;
        let swapped = iter::once_with(|| swapped_pairs(&came)).flatten();
        let mut fault = "its hash is not that of the PDU".to_owned();
        for form in iter::once_with(|| came.clone()).chain(swapped) {
            if !has_right_hash(&form) {
                continue;
            }
            let text = form.text_without(&[SIGNATURES]);
            for (id, key, signature) in &known {
                if signature.is_some_and(|signature| key.verifies(&text, &signature)) {
                    return Ok(());
                }
                fault = format!("its signature by {}/{id} is not that of the PDU", self.origin);
            }
        }
        Err(PduSignatureError::Wrong(fault))
    }
}

fn signature_bytes(written: &str) -> Option<[u8; 64]> {
    LENIENT_BASE64.decode(written).ok()?.try_into().ok()
}

/// Returns whether the hash is right, or absent: the signature covers all that the hash does.
fn has_right_hash(object: &CanonicalObject) -> bool {
    let Some(hashes) = object.get(HASHES).filter(|hashes| *hashes != b"null") else { return true };
    let stated = || -> Option<Vec<u8>> {
        let members = reader::members(str::from_utf8(hashes).ok()?).ok()?;
        LENIENT_BASE64.decode(&*reader::text(reader::get(&members, SHA256)?.text)?).ok()
    };
    stated().is_some_and(|stated| stated == hash_of(object))
}

/// Returns the PDU with the first two elements of each pair of parents swapped; `None`: it has no pairs.
fn swapped_pairs(object: &CanonicalObject) -> Option<CanonicalObject> {
    let pairs: Vec<Vec<&RawValue>> = serde_json::from_slice(object.get(PREV_PDUS)?).ok()?;
    if pairs.is_empty() || pairs.iter().any(|pair| pair.len() < 2) {
        return None;
    }
    let swapped = pairs.into_iter().map(|mut pair| {
        pair.swap(0, 1);
        pair
    });
    let mut object = object.clone();
    object.set(PREV_PDUS, serde_json::to_vec(&swapped.collect::<Vec<_>>()).expect("texts into memory"));
    Some(object)
}
