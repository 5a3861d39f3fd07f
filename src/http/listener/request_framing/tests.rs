//! Streams of requests, cut at any byte: each `#` in a target is found, and no other byte is.

use proptest::prelude::*;

use super::*;

/// Returns the stream, received in these pieces, with each `#` that is found replaced by `@HASH@`.
fn marked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut framing, mut out, mut found) = (RequestFraming::default(), Vec::new(), Vec::new());
    for piece in pieces {
        found.clear();
        framing.scan(piece, |place| found.push(place));
        for (place, byte) in piece.iter().enumerate() {
            if found.contains(&place) { out.extend_from_slice(b"@HASH@") } else { out.push(*byte) }
        }
    }
    out
}

fn check(stream: &str, expected: &str) {
    let shown = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    assert_eq!(shown(marked([stream.as_bytes()])), expected, "whole");
    assert_eq!(shown(marked(stream.as_bytes().chunks(1))), expected, "byte by byte");
    assert_eq!(shown(marked(stream.as_bytes().chunks(7))), expected, "in sevens");
}

/// Checks a stream in which `@` stands for each `#` that must be found.
fn sees(stream: &str) {
    check(&stream.replace('@', "#"), &stream.replace('@', "@HASH@"));
}

#[test]
fn only_target_hash_is_rewritten() {
    for stream in [
        "GET /state/@room.red/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /@@/@?v=@ HTTP/1.1\r\n\r\n",
        // A `#` in a method, a version or a header is not found.
        "G#T /@ HTTP/1.1#\r\nHost: #\r\nX#: #\r\n\r\n",
        "GET /@",
        // Empty lines may precede a request, and lines may end without a carriage return.
        "\r\n\n\r\nGET /@ HTTP/1.1\r\n\r\n\r\n\r\nGET /@ HTTP/1.1\n\nGET /@ HTTP/1.1\r\nX: y\n\r\nGET /@ HTTP/1.1\n\n",
    ] {
        sees(stream);
    }
}

#[test]
fn next_request_found_after_any_body() {
    const LINE: &str = "GET /#a HTTP/1.1\r\n\r\n";
    let next = "GET /@ HTTP/1.1\r\n\r\n";
    for head in [
        "PUT /@ HTTP/1.1\r\nContent-Length: 20\r\n\r\n",
        "PUT /@ HTTP/1.1\r\ncontent-LENGTH:\t 020 \r\nX: y\r\n\r\n",
        "GET /@ HTTP/1.0\r\nContent-Length: 20\n\n",
    ] {
        sees(&format!("{head}{LINE}{next}{head}{LINE}{next}"));
    }
    for chunks in [
        format!("14\r\n{LINE}\r\n0\r\n\r\n"),
        format!("0014 ; a=\"#\"\r\n{LINE}\r\n1\r\n#\r\n0\r\nX: GET /# HTTP/1.1\r\n\r\n"),
        format!("14;{}\r\n{LINE}\r\n14\t\r\n{LINE}\r\n00\r\n\r\n", "#".repeat(500)),
        "0\r\n\r\n".to_owned(),
    ] {
        sees(&format!("PUT /@ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n{chunks}{next}"));
    }
    sees(&format!("PUT /@ HTTP/1.1\r\nContent-Length: 0\r\n\r\n{next}"));
    // Long headers and long header names do not hide the length.
    let long = "y".repeat(100_000);
    sees(&format!(
        "PUT /@{long} HTTP/1.1\r\n{long}: x\r\nX: {long}\r\nContent-Length: 20\r\n{long}\r\n\r\n{LINE}{next}"
    ));
}

/// The end of a body must be certain: after an uncertain one all bytes pass unchanged, even if they look like a request.
#[test]
fn uncertain_framing_stops_rewriting() {
    let next = "GET /# HTTP/1.1\r\n\r\nGET /# HTTP/1.1\r\n\r\n";
    let blank = " ".repeat(80);
    for header in [
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 1, 1",
        "Content-Length: 0x1",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        &format!("Content-Length: {blank}1"),
        &format!("Transfer-Encoding: {blank}chunked"),
        "Content-Length: 1\r\n 0",
        "X: y\r\n\tz",
        "Upgrade: websocket",
    ] {
        sees(&format!("PUT /@ HTTP/1.1\r\n{header}\r\n\r\n{next}"));
    }
    for chunks in [
        "",
        "x\r\n",
        "1;\u{1}\r\n#\r\n",
        "1\r\n##\r\n",
        "1\n#\r\n",
        "10000000000000000\r\n",
        "1\r\n#\n0\r\n\r\n",
        "1 1\r\n",
    ] {
        sees(&format!("PUT /@ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{next}"));
    }
    for broken in ["GET\r\n", "GET /@\r\n", "CONNECT /@ HTTP/1.1\r\n\r\n", "GARBAGE\n"] {
        sees(&format!("{broken}{next}"));
    }
}

#[test]
fn part_of_request_is_known() {
    let (mut framing, mut reached) = (RequestFraming::default(), Vec::new());
    for piece in [
        "\r\n",
        "PUT / HTTP/1.1\r\nContent-Length: 2\r\n",
        "\r\n",
        "xy",
        // Another protocol than WebSocket is ignored by the parser.
        "PUT / HTTP/1.1\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1\r\nx\r\n0\r\n",
        "\r\nG",
        // The end of an uncertain head is looked for, the end of its body is not.
        "ET / HTTP/1.1\r\nUpgrade: WebSocket\r\n",
        "\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        framing.scan(piece.as_bytes(), |_| ());
        reached.push(framing.reached());
    }
    let expected = [
        (0, RequestPart::Between),
        (0, RequestPart::Head),
        (1, RequestPart::Body),
        (1, RequestPart::Between),
        (2, RequestPart::Body),
        (2, RequestPart::Body),
        (2, RequestPart::Head),
        (2, RequestPart::Head),
        (3, RequestPart::Endless),
        (3, RequestPart::Endless),
    ];
    assert_eq!(reached, expected);
}

#[derive(Debug, Clone)]
struct Request {
    target: String,
    header: String,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunks(Vec<Vec<u8>>, String),
}

impl Request {
    fn written(&self, hash: &str) -> Vec<u8> {
        let target = self.target.replace('#', hash);
        let mut out = format!("PUT /{target} HTTP/1.1\r\nHost: a\r\nX: {}\r\n", self.header).into_bytes();
        match &self.body {
            Body::None => out.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                out.extend_from_slice(body);
            }
            Body::Chunks(chunks, extension) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    out.extend_from_slice(format!("{:x};{extension}\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
            }
        }
        out
    }
}

/// Generates bytes that look like requests, or like nothing.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(b"GET /# HTTP/1.1\r\n\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(word, 0..5).prop_map(|words| words.concat())
}

fn request() -> impl Strategy<Value = Request> {
    let body = prop_oneof![
        Just(Body::None),
        bytes().prop_map(Body::Length),
        (prop::collection::vec(bytes(), 0..3), "[a-z#]{0,5}")
            .prop_map(|(chunks, extension)| Body::Chunks(chunks, extension)),
    ];
    ("[a-z#?/]{0,9}", "[ -~]{0,20}", body).prop_map(|(target, header, body)| Request { target, header, body })
}

proptest! {
    #[test]
    fn split_requests_change_only_targets(
        requests in prop::collection::vec(request(), 1..5),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let stream = requests.iter().map(|request| request.written("#")).collect::<Vec<_>>().concat();
        let expected = requests.iter().map(|request| request.written("@HASH@")).collect::<Vec<_>>().concat();
        prop_assert_eq!(&marked([&stream[..]]), &expected);
        let (mut pieces, mut rest) = (vec![], &stream[..]);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(&marked(pieces), &expected);
    }

    #[test]
    fn split_bytes_parse_identically(stream in bytes(), more in bytes(), cut in 1_usize..9) {
        let stream = [&b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"[..], &stream, &more].concat();
        prop_assert_eq!(marked([&stream[..]]), marked(stream.chunks(cut)));
    }
}
