//! The header `Content-Digest` (RFC 9530): the digest of a body as it came.

use sfv::{BareItem, Dictionary, KeyRef, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

/// Name of the header.
pub const CONTENT_DIGEST: &str = "content-digest";

/// Error: the header does not fit the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentDigestError {
    /// The header is not a dictionary of byte sequences.
    #[error("Content-Digest is not a dictionary of byte sequences")]
    Malformed,
    /// `sha-256` is not in the header.
    #[error("Content-Digest has no sha-256")]
    NoSha256,
    /// A digest is that of another body.
    #[error("the {0} in Content-Digest is that of another body")]
    OtherBody(&'static str),
}

/// Returns the value of the header for a body.
pub fn content_digest(body: &[u8]) -> String {
    let mut serializer = sfv::DictSerializer::new();
    let digest = Sha256::digest(body);
    let _ = serializer.bare_item(KeyRef::constant("sha-256"), digest.as_slice());
    serializer.finish().expect("it has one entry")
}

/// The digests that a header states.
pub struct StatedDigests {
    sha256: Vec<u8>,
    sha512: Option<Vec<u8>>,
}

impl StatedDigests {
    /// Reads the value of the header. Other algorithms than `sha-256`, which is required, and `sha-512` are ignored.
    pub fn read(value: &str) -> Result<Self, ContentDigestError> {
        let digests: Dictionary = Parser::new(value).parse().map_err(|_| ContentDigestError::Malformed)?;
        let stated = |algorithm: &str| match digests.get(algorithm) {
            None => Ok(None),
            Some(ListEntry::Item(item)) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => Ok(Some(bytes.clone())),
                _ => Err(ContentDigestError::Malformed),
            },
            Some(ListEntry::InnerList(_)) => Err(ContentDigestError::Malformed),
        };
        Ok(Self { sha256: stated("sha-256")?.ok_or(ContentDigestError::NoSha256)?, sha512: stated("sha-512")? })
    }

    /// Begins the check of a body.
    pub fn begin(self) -> BodyCheck {
        let sha512 = self.sha512.is_some().then(Sha512::new);
        BodyCheck { stated: self, sha256: Sha256::new(), sha512 }
    }
}

/// The check of a body that arrives in parts.
pub struct BodyCheck {
    stated: StatedDigests,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

impl BodyCheck {
    /// Adds the next part of the body.
    pub fn update(&mut self, part: &[u8]) {
        self.sha256.update(part);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(part);
        }
    }

    /// Ends the check: each digest must be that of the whole body.
    pub fn finish(self) -> Result<(), ContentDigestError> {
        if self.stated.sha256[..] != self.sha256.finalize()[..] {
            return Err(ContentDigestError::OtherBody("sha-256"));
        }
        let sha512 = self.sha512.map(|sha512| sha512.finalize().to_vec());
        if self.stated.sha512 != sha512 {
            return Err(ContentDigestError::OtherBody("sha-512"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and the digests of RFC 9530, appendix A and B.
    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    const SHA256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA512: &str =
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    fn check_content_digest(value: &str, body: &[u8]) -> Result<(), ContentDigestError> {
        let mut check = StatedDigests::read(value)?.begin();
        body.chunks(5).for_each(|part| check.update(part));
        check.finish()
    }

    #[test]
    fn sha256_is_required_and_verified() {
        assert_eq!(content_digest(BODY), SHA256);
        for value in [SHA256.to_owned(), format!("{SHA512}, {SHA256}"), format!("md5=:AAAA:, {SHA256}")] {
            assert_eq!(check_content_digest(&value, BODY), Ok(()), "{value}");
        }
        assert_eq!(check_content_digest(SHA512, BODY), Err(ContentDigestError::NoSha256));
        assert_eq!(check_content_digest(SHA256, b""), Err(ContentDigestError::OtherBody("sha-256")));
        let other = format!("{SHA256}, sha-512=:AAAA:");
        assert_eq!(check_content_digest(&other, BODY), Err(ContentDigestError::OtherBody("sha-512")));
        for value in ["sha-256", "sha-256=x", "sha-256=(:AAAA:)", "sha-256=:****:", "=", "sha-256=\"RK\""] {
            assert_eq!(check_content_digest(value, BODY), Err(ContentDigestError::Malformed), "{value}");
        }
    }

    #[test]
    fn empty_body_has_its_digest() {
        let value = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert_eq!((content_digest(b"").as_str(), check_content_digest(value, b"")), (value, Ok(())));
    }
}
