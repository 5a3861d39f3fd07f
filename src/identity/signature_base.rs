//! The signature base (RFC 9421, section 2.5): the text that is signed.

use crate::identity::signature_fields::StatedSignature;

/// The parts of a request that a signature may cover.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    /// Method.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Value of `Host`.
    pub authority: &'a str,
    /// Path and query as they stand in the request line, byte for byte.
    pub target: &'a str,
    /// Headers in the order of their lines; names are in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> SignedParts<'a> {
    /// Returns the values of a header, one per line.
    pub fn header(&self, name: &str) -> Vec<&'a str> {
        self.headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect()
    }
}

/// Returns the base of a signature over a message; `None` if it covers a header that the message does not have.
pub fn signature_base(signature: &StatedSignature, message: &SignedParts<'_>) -> Option<String> {
    let mut base = String::with_capacity(512);
    for name in &signature.components {
        push_line(&mut base, name, &component(name, message)?);
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(&signature.params);
    Some(base)
}

fn push_line(base: &mut String, name: &str, value: &str) {
    base.push('"');
    base.push_str(name);
    base.push_str("\": ");
    base.push_str(value);
    base.push('\n');
}

fn component(name: &str, message: &SignedParts<'_>) -> Option<String> {
    let (path, query) = match message.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (message.target, None),
    };
    Some(match name {
        "@method" => message.method.to_owned(),
        "@target-uri" => format!("{}://{}{}", message.scheme, message.authority, message.target),
        "@authority" => normal_authority(message),
        "@path" => path.to_owned(),
        "@query" => format!("?{}", query.unwrap_or_default()),
        name => {
            let lines = message.header(name);
            if lines.is_empty() {
                return None;
            }
            lines.iter().map(|line| line.trim_matches([' ', '\t'])).collect::<Vec<_>>().join(", ")
        }
    })
}

/// Returns the authority in lower case and without the scheme's own port.
fn normal_authority(message: &SignedParts<'_>) -> String {
    let authority = message.authority.to_ascii_lowercase();
    let default_port = if message.scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(default_port).unwrap_or(&authority).to_owned()
}
