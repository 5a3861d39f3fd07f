//! The headers `Signature-Input` and `Signature` (RFC 9421, section 4): the one signature with the label `sig1`.

use std::convert::Infallible;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored};
use sfv::{BareItem, Dictionary, InnerList, Item, KeyRef, ListEntry, Parser};

use crate::identity::key_id::KeyName;

/// Label of the signature.
pub const LABEL: &str = "sig1";

/// Headers that a request with a signature has.
pub const SIGNATURE_INPUT: &str = "signature-input";
/// Header of the signature itself.
pub const SIGNATURE: &str = "signature";

/// Components that every signature covers.
pub const REQUIRED: [&str; 3] = ["@method", "@target-uri", "content-digest"];

/// Components of the request line that a signature may cover.
const DERIVED: [&str; 5] = ["@method", "@target-uri", "@authority", "@path", "@query"];

/// Maximum number of components of one signature.
const COMPONENTS_MAX: usize = 32;

/// Maximum length of the name of a component.
const NAME_MAX: usize = 64;

/// Lengths that a nonce may have.
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

/// A signature as it was stated, not verified yet.
#[derive(Debug, Clone, PartialEq)]
pub struct StatedSignature {
    /// Components that it covers, in order.
    pub components: Vec<String>,
    /// Name of the key.
    pub key: KeyName,
    /// Time at which it was made, in seconds since 1970.
    pub created: i64,
    /// Time at which it ends, in seconds since 1970.
    pub expires: Option<i64>,
    /// Value that its key uses once.
    pub nonce: String,
    /// Value of `@signature-params`: the components and parameters, serialized again.
    pub params: String,
    /// The signature.
    pub bytes: [u8; 64],
}

/// Error: the headers hold no signature of the required form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SignatureFieldsError(pub String);

fn malformed(why: impl Into<String>) -> SignatureFieldsError {
    SignatureFieldsError(why.into())
}

impl StatedSignature {
    /// Reads the values of the two headers; several lines of one header are joined with a comma before. `None`: they hold signatures
    /// with other labels only.
    pub fn read(input: &str, signature: &str) -> Result<Option<Self>, SignatureFieldsError> {
        let inputs = dictionary("Signature-Input", input)?;
        let signatures = dictionary("Signature", signature)?;
        if !inputs.contains_key(LABEL) && !signatures.contains_key(LABEL) {
            return Ok(None);
        }
        let Some(ListEntry::InnerList(list)) = inputs.get(LABEL) else {
            return Err(malformed(format!("Signature-Input has no {LABEL} with a list of components")));
        };
        let bytes = match signatures.get(LABEL) {
            Some(ListEntry::Item(Item { bare_item: BareItem::ByteSequence(bytes), .. })) => bytes.as_slice(),
            _ => return Err(malformed(format!("Signature has no {LABEL} with a byte sequence"))),
        };
        let bytes = bytes.try_into().map_err(|_| malformed("an Ed25519 signature has 64 bytes"))?;
        let components = components(list)?;
        let parameters = Parameters::read(list)?;
        let Parameters { key, created, expires, nonce } = parameters;
        Ok(Some(Self { components, key, created, expires, nonce, params: serialized(list), bytes }))
    }
}

/// Counts the members with our label: the parser keeps the last of several.
#[derive(Default)]
struct MemberCount(usize);

impl<'de> DictionaryVisitor<'de> for MemberCount {
    type Out = usize;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.0 += usize::from(key.as_str() == LABEL);
        Ok(Ignored)
    }

    fn finish(self) -> Result<usize, Infallible> {
        Ok(self.0)
    }
}

/// Reads a dictionary in which our label is there once at most.
fn dictionary(header: &str, value: &str) -> Result<Dictionary, SignatureFieldsError> {
    let bad = |error| malformed(format!("{header}: {error}"));
    match Parser::new(value).parse_dictionary_with_visitor(MemberCount::default()).map_err(bad)? {
        0 | 1 => Parser::new(value).parse().map_err(bad),
        _ => Err(malformed(format!("{header} has {LABEL} more than once"))),
    }
}

fn components(list: &InnerList) -> Result<Vec<String>, SignatureFieldsError> {
    if list.items.len() > COMPONENTS_MAX {
        return Err(malformed(format!("the signature covers more than {COMPONENTS_MAX} components")));
    }
    let mut components: Vec<String> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let BareItem::String(name) = &item.bare_item else { return Err(malformed("a component is no string")) };
        let name = name.as_str();
        if name.len() > NAME_MAX {
            return Err(malformed(format!("the name of a component has more than {NAME_MAX} characters")));
        }
        if !item.params.is_empty() {
            return Err(malformed(format!("the component {name:?} has parameters")));
        }
        if components.iter().any(|other| other == name) {
            return Err(malformed(format!("the component {name:?} is there twice")));
        }
        let is_field =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !DERIVED.contains(&name) && (name.is_empty() || !name.bytes().all(is_field)) {
            return Err(malformed(format!("{name:?} is no component that is supported")));
        }
        components.push(name.to_owned());
    }
    match REQUIRED.iter().find(|required| !components.iter().any(|name| name == *required)) {
        Some(missing) => Err(malformed(format!("the signature does not cover {missing:?}"))),
        None => Ok(components),
    }
}

struct Parameters {
    key: KeyName,
    created: i64,
    expires: Option<i64>,
    nonce: String,
}

impl Parameters {
    fn read(list: &InnerList) -> Result<Self, SignatureFieldsError> {
        let text = |name: &str| match list.params.get(name) {
            Some(BareItem::String(text)) => Ok(text.as_str()),
            Some(_) => Err(malformed(format!("the parameter {name} is no string"))),
            None => Err(malformed(format!("the signature has no {name}"))),
        };
        let seconds = |name: &str| match list.params.get(name) {
            Some(BareItem::Integer(seconds)) => Ok(Some(i64::from(*seconds))),
            Some(_) => Err(malformed(format!("the parameter {name} is no integer"))),
            None => Ok(None),
        };
        let created = seconds("created")?.ok_or_else(|| malformed("the signature has no created"))?;
        if text("alg")? != "ed25519" {
            return Err(malformed("the signature's alg is not \"ed25519\""));
        }
        let nonce = text("nonce")?.to_owned();
        if !NONCE_LENGTHS.contains(&nonce.len()) {
            let (least, most) = (NONCE_LENGTHS.start(), NONCE_LENGTHS.end());
            return Err(malformed(format!("the nonce has {} characters; {least} to {most} are required", nonce.len())));
        }
        let key = text("keyid")?.parse().map_err(|error| malformed(format!("keyid: {error}")))?;
        Ok(Self { key, created, expires: seconds("expires")?, nonce })
    }
}

/// Serializes the list again, so that the spaces of the sender do not matter.
fn serialized(list: &InnerList) -> String {
    let mut serializer = sfv::ListSerializer::new();
    let mut inner = serializer.inner_list();
    inner.items(&list.items);
    let _ = inner.finish().parameters(&list.params);
    serializer.finish().expect("it has one member")
}

/// Returns the value of `Signature` for these bytes.
pub fn signature_value(bytes: &[u8; 64]) -> String {
    format!("{LABEL}=:{}:", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests;
