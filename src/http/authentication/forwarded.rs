//! The headers in which a trusted reverse proxy names its caller: `Forwarded`, `X-Forwarded-For`, and a client certificate.
//!
//! From anybody else these headers are ignored, because everybody can write them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix_web::http::header::{FORWARDED, HeaderMap};
use percent_encoding::percent_decode;
use rustls::pki_types::pem::{PemObject, SectionKind};

use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Maximum bytes of a certificate in a header.
const CERTIFICATE_MAX: usize = 64 << 10;

/// Returns the address of the caller: the right-most entry that is no trusted proxy itself. `Forwarded` wins over
/// `X-Forwarded-For`. An entry that is no address, such as `unknown`, is no address.
pub(crate) fn caller_address(headers: &HeaderMap, is_proxy: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let lines = |name: &str| -> Option<String> {
        let lines: Vec<_> = headers.get_all(name).map(|line| line.to_str()).collect::<Result<_, _>>().ok()?;
        (!lines.is_empty()).then(|| lines.join(","))
    };
    let entries: Vec<Option<IpAddr>> = if headers.contains_key(FORWARDED) {
        forwarded_nodes(&lines(FORWARDED.as_str())?)?.iter().map(|node| node.as_deref().and_then(address)).collect()
    } else {
        lines(X_FORWARDED_FOR)?.split(',').map(|entry| address(entry.trim())).collect()
    };
    entries.into_iter().rev().find(|entry| !entry.is_some_and(&is_proxy)).flatten()
}

/// Returns the `for=` of each entry of a `Forwarded` header (RFC 7239); `None`: the header is malformed.
fn forwarded_nodes(text: &str) -> Option<Vec<Option<String>>> {
    let mut nodes = vec![None];
    let mut rest = text.trim_start();
    loop {
        // Empty entries and parameters are allowed, as in every list of HTTP.
        rest = rest.trim_start();
        match rest.as_bytes().first() {
            None => return Some(nodes),
            Some(b',') => {
                nodes.push(None);
                rest = &rest[1..];
                continue;
            }
            Some(b';') => {
                rest = &rest[1..];
                continue;
            }
            Some(_) => {}
        }
        let (name, after) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find(|char: char| !is_node_char(char)).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        // Anything else between a value and the next separator could hide the separator itself, and with it the entry of the
        // last proxy.
        let after = after.trim_start_matches([' ', '\t']);
        if !(after.is_empty() || after.starts_with([',', ';'])) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") {
            let node = nodes.last_mut()?;
            // Two nodes in one entry name nobody.
            if node.replace(value).is_some() {
                return None;
            }
        }
        rest = after;
    }
}

/// Returns whether a text is a token (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(char: char) -> bool {
    char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char)
}

/// Returns whether a value without quotes may contain this: tokens, and what proxies write of addresses with ports without quotes.
fn is_node_char(char: char) -> bool {
    is_token_char(char) || matches!(char, ':' | '[' | ']')
}

/// Returns a quoted value and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

/// Reads an address with or without a port; IPv6 may be in brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let parsed = bare.parse::<IpAddr>().ok().or_else(|| node.parse::<SocketAddr>().ok().map(|address| address.ip()));
    parsed.map(|ip| ip.to_canonical())
}

/// Returns the client certificate in a header: URL-encoded PEM, exactly one. `None`: the header is absent or empty, which is how
/// proxies write that there is none.
pub(crate) fn client_certificate(
    headers: &HeaderMap,
    name: &str,
) -> Option<Result<Arc<PresentedCertificate>, CertificateFault>> {
    let unreadable = |why: &str| Some(Err(CertificateFault::Unreadable(format!("the header {name} {why}"))));
    let mut lines = headers.get_all(name);
    let line = lines.next()?;
    if lines.next().is_some() {
        return unreadable("is there more than once");
    }
    if line.is_empty() {
        return None;
    }
    if line.len() > CERTIFICATE_MAX {
        return unreadable("is too long");
    }
    let pem: Vec<u8> = percent_decode(line.as_bytes()).collect();
    // All items are read, so that a certificate beside a key or another item is not taken for the only one.
    let read: Result<Vec<(SectionKind, Vec<u8>)>, _> = PemObject::pem_slice_iter(&pem).collect();
    match read.map(<[_; 1]>::try_from) {
        Ok(Ok([(SectionKind::Certificate, der)])) => Some(PresentedCertificate::parse(vec![der.into()]).map(Arc::new)),
        Ok(_) => unreadable("does not hold exactly one certificate"),
        Err(_) => unreadable("is no URL-encoded PEM"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn caller(lines: &[(&str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let is_proxy = |ip: IpAddr| ip.to_string().starts_with("10.0.0.");
        caller_address(&headers, is_proxy).map(|ip| ip.to_string())
    }

    #[test]
    fn rightmost_stranger_is_caller() {
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(caller(&[("x-forwarded-for", "198.51.100.7")]), found("198.51.100.7"));
        assert_eq!(caller(&[("x-forwarded-for", "1.2.3.4, 198.51.100.7, 10.0.0.2")]), found("198.51.100.7"));
        assert_eq!(caller(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8")]), found("5.6.7.8"));
        assert_eq!(
            caller(&[("forwarded", "for=1.2.3.4, for=\"[2001:db8::7]:443\";proto=https")]),
            found("2001:db8::7")
        );
        assert_eq!(
            caller(&[("forwarded", "For=1.2.3.4;by=10.0.0.1"), ("x-forwarded-for", "5.6.7.8")]),
            found("1.2.3.4")
        );
        assert_eq!(caller(&[("forwarded", "for=\"1.2.3.4:80\"")]), found("1.2.3.4"));
        assert_eq!(caller(&[("x-forwarded-for", "::ffff:1.2.3.4")]), found("1.2.3.4"));
    }

    #[test]
    fn entry_without_address_names_nobody() {
        for lines in [
            &[][..],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "1.2.3.4, unknown, 10.0.0.9")],
            &[("x-forwarded-for", "10.0.0.1, 10.0.0.2")],
            &[("x-forwarded-for", "")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "proto=https")],
            &[("forwarded", "for=1.2.3.4, for=\"unterminated")],
            &[("forwarded", "for=1.2.3.4;for=5.6.7.8")],
            &[("forwarded", "for=\"1.2.3.4\"by=5.6.7.8")],
            &[("forwarded", "for=1.2.3.4 by=5.6.7.8")],
            &[("forwarded", "garbage"), ("x-forwarded-for", "1.2.3.4")],
        ] {
            assert_eq!(caller(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn malformed_entry_hides_no_proxy() {
        for written in [
            "for=10.5.5.5;x",
            "for=\"10.5.5.5\"x",
            "for=10.5.5.5 x",
            "for=10.5.5.5;x y",
            "for=10.5.5.5;x=\"",
            "for=10.5.5.5;=",
            "for = 10.5.5.5;x",
        ] {
            let appended = format!("{written}, for=1.2.3.4");
            assert_eq!(caller(&[("forwarded", &appended)]), None, "{appended}");
            assert_eq!(caller(&[("forwarded", written), ("forwarded", "for=1.2.3.4")]), None, "{written}");
        }
        assert_eq!(caller(&[("forwarded", "for=10.5.5.5 ; x=y , for=1.2.3.4:80")]).as_deref(), Some("1.2.3.4"));
    }

    #[test]
    fn certificate_header_holds_one_pem() {
        let made = rcgen::generate_simple_self_signed(["blue.example".to_owned()]).expect("a certificate");
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let shown = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(HeaderName::from_static("x-cert"), HeaderValue::from_str(value).expect("a value"));
            }
            client_certificate(&headers, "x-cert").map(|read| read.map(|certificate| certificate.names_text()))
        };
        let pem = encode(&made.cert.pem());
        assert_eq!(shown(&[&pem]), Some(Ok("blue.example".to_owned())));
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[""]), None);
        let with_key = encode(&(made.cert.pem() + &made.signing_key.serialize_pem()));
        let twice = encode(&made.cert.pem().repeat(2));
        for bad in [&[&*pem, &*pem][..], &[&*twice], &[&*with_key], &["x"], &["%2D%2D"]] {
            assert!(matches!(shown(bad), Some(Err(CertificateFault::Unreadable(_)))), "{bad:?}");
        }
    }
}
