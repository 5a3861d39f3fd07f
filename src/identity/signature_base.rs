//! The signature base (RFC 9421, section 2.5): the text that is signed.

use crate::identity::signature_fields::StatedSignature;

/// What of a request a signature may cover.
pub trait SignedMessage {
    /// Returns the method.
    fn method(&self) -> &str;

    /// Returns `http` or `https`.
    fn scheme(&self) -> &str;

    /// Returns the value of `Host`.
    fn authority(&self) -> &str;

    /// Returns path and query as they stand in the request line, byte for byte.
    fn target(&self) -> &str;

    /// Returns the values of a header, one per line; `name` is in lower case.
    fn header(&self, name: &str) -> Vec<&str>;
}

/// Returns the base of a signature over a message; `None` if it covers a header that the message does not have.
pub fn signature_base(signature: &StatedSignature, message: &dyn SignedMessage) -> Option<String> {
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

fn component(name: &str, message: &dyn SignedMessage) -> Option<String> {
    let (path, query) = match message.target().split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (message.target(), None),
    };
    Some(match name {
        "@method" => message.method().to_owned(),
        "@target-uri" => format!("{}://{}{}", message.scheme(), message.authority(), message.target()),
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
fn normal_authority(message: &dyn SignedMessage) -> String {
    let authority = message.authority().to_ascii_lowercase();
    let default_port = if message.scheme() == "https" { ":443" } else { ":80" };
    authority.strip_suffix(default_port).unwrap_or(&authority).to_owned()
}
