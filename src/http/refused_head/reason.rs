//! Finds the reason for which the HTTP library refused a head, because the library's own message reaches no caller.

use actix_web::http::Uri;
use httparse::{EMPTY_HEADER, Error, Header, Request, Status};

/// The library's own limit.
const HEADERS_MAX: usize = 96;

/// Characters of a line that are shown.
const SHOWN: usize = 80;

/// The message if no better reason is found.
const NO_HTTP: &str = "it is not HTTP/1.1";

/// Returns the error of the first malformed request in these bytes.
pub(super) fn reason(mut heard: &[u8]) -> String {
    loop {
        while let [b'\r' | b'\n', rest @ ..] = heard {
            heard = rest;
        }
        if heard.starts_with(&[0x16, 0x03]) {
            return "it is TLS, but this listener accepts plain HTTP".to_owned();
        }
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut headers);
        match request.parse(heard) {
            Ok(Status::Complete(length)) => match body(&request) {
                Err(why) => return why,
                Ok(body) => heard = length.checked_add(body).and_then(|end| heard.get(end..)).unwrap_or_default(),
            },
            Ok(Status::Partial) => return NO_HTTP.to_owned(),
            Err(error) => return broken(heard, error),
        }
    }
}

/// Returns the message for bytes that cannot be parsed.
fn broken(heard: &[u8], error: Error) -> String {
    let mut lines = heard.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    match error {
        Error::HeaderName | Error::HeaderValue => {
            let bad = lines.take_while(|line| !line.is_empty()).find(|line| !is_header(line)).unwrap_or_default();
            format!("its header line {} is not NAME: VALUE", shown(bad))
        }
        Error::TooManyHeaders => format!("it has more than {HEADERS_MAX} header lines"),
        Error::Version if first.split(|byte| *byte == b' ').count() == 3 => {
            format!("its first line is {}; only HTTP/1.1 is accepted", shown(first))
        }
        Error::Version | Error::Token | Error::NewLine | Error::Status => {
            format!("its first line is {}; METHOD TARGET HTTP/1.1 is expected", shown(first))
        }
    }
}

fn is_header(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_value = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    colon > 0 && line[..colon].iter().all(is_name) && line[colon + 1..].iter().all(is_value)
}

fn shown(line: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
    format!("{text:?}")
}

/// Returns the length of the body of a well-formed head, or the reason for which it is refused.
fn body(request: &Request<'_, '_>) -> Result<usize, String> {
    let target = request.path.unwrap_or_default();
    if let Err(why) = target.parse::<Uri>() {
        return Err(format!("its target {} is not a path: {why}", shown(target.as_bytes())));
    }
    let is_new = request.version == Some(1);
    let hosts = named(request.headers, "host").count();
    match hosts {
        0 if is_new => return Err("it has no Host header".to_owned()),
        2.. => return Err("it has several Host headers".to_owned()),
        _ => {}
    }
    let mut lengths = named(request.headers, "content-length");
    let mut codings = named(request.headers, "transfer-encoding");
    let (length, coding) = (lengths.next(), codings.next());
    if lengths.next().is_some() {
        return Err("it has several Content-Length headers".to_owned());
    }
    if codings.next().is_some() {
        return Err("it has several Transfer-Encoding headers".to_owned());
    }
    match (length, coding) {
        (Some(_), Some(_)) => Err("it has a Content-Length and a Transfer-Encoding".to_owned()),
        (None, Some(_)) if !is_new => Err("it has a Transfer-Encoding, which HTTP/1.0 does not have".to_owned()),
        (None, Some(coding)) if !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            Err(format!("its Transfer-Encoding is {}; only chunked is accepted", shown(coding)))
        }
        (None, None) if !is_new && request.method == Some("POST") => Err("it has no Content-Length header".to_owned()),
        (Some(length), None) => {
            let number = std::str::from_utf8(length).ok().map(str::trim).filter(|text| !text.starts_with('+'));
            let number = number.and_then(|text| text.parse().ok());
            number.ok_or_else(|| format!("its Content-Length is {}, which is not a number", shown(length)))
        }
        // The end of a chunked body is not looked for, so the request after it gets a general reason.
        (None, Some(_)) => Ok(usize::MAX),
        (None, None) => Ok(0),
    }
}

fn named<'h>(headers: &'h [Header<'_>], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refused_head_has_its_reason() {
        for (heard, why) in [
            ("GARBAGE\r\n\r\n", "its first line is \"GARBAGE\"; METHOD TARGET HTTP/1.1 is expected"),
            ("GET / x HTTP/1.1\r\n\r\n", "its first line is \"GET / x HTTP/1.1\"; METHOD TARGET HTTP/1.1 is expected"),
            ("PRI * HTTP/2.0\r\n\r\n", "its first line is \"PRI * HTTP/2.0\"; only HTTP/1.1 is accepted"),
            ("\u{16}\u{3}\u{1}", "it is TLS, but this listener accepts plain HTTP"),
            ("GET / HTTP/1.1\r\n\r\n", "it has no Host header"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "it has several Host headers"),
            ("GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "its header line \"Bad Header: x\" is not NAME: VALUE"),
            ("GET / HTTP/1.1\r\nHost: a\r\nx\r\n\r\n", "its header line \"x\" is not NAME: VALUE"),
            ("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", "its target \"http://\" is not a path: invalid format"),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                "its Content-Length is \"x\", which is not a number",
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                "it has several Content-Length headers",
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "it has a Content-Length and a Transfer-Encoding",
            ),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: frob\r\n\r\n",
                "its Transfer-Encoding is \"frob\"; only chunked is accepted",
            ),
            ("POST / HTTP/1.0\r\n\r\n", "it has no Content-Length header"),
            (
                "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "it has a Transfer-Encoding, which HTTP/1.0 does not have",
            ),
            // Valid requests before the refused one are skipped, with their bodies.
            (
                "\r\nPUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n",
                "it has no Host header",
            ),
            ("GET / HT", NO_HTTP),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{}", NO_HTTP),
        ] {
            assert_eq!(reason(heard.as_bytes()), why, "{heard:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(reason(many.as_bytes()), "it has more than 96 header lines");
        assert!(reason("x".repeat(4000).as_bytes()).len() < 200);
    }
}
