//! The hand-written GET with responses in every framing: in pieces, incomplete, too long, endless.

use tokio::io::duplex;

use super::*;

const EIGHT_BYTES: AnswerLimit = AnswerLimit { key: "a limit", bytes_max: 8 };

fn asking(target: &str) -> RawGet<'_> {
    RawGet { target, headers: "Host: green\r\n", answer: EgressAnswer::Needed, limit: EIGHT_BYTES }
}

/// Reads a response that arrives in pieces of this size; then the connection ends or is held open.
async fn answered(answer: &[u8], piece: usize, held: bool) -> Result<Bytes, PushFailure> {
    let (ours, mut theirs) = duplex(1 << 20);
    let deadline = Instant::now() + Duration::from_secs(5);
    let (target, answer) = ("/state/#room.red/", answer.to_vec());
    let server = tokio::spawn(async move {
        let mut asked = vec![];
        while !asked.ends_with(b"\r\n\r\n") {
            theirs.read_buf(&mut asked).await.expect("a request");
        }
        for piece in answer.chunks(piece) {
            // The client closes the connection once it has read enough.
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        (asked, held.then_some(theirs))
    });
    let body = exchange(ours, &asking(target), deadline).await;
    let (asked, _held) = server.await.expect("no panic");
    assert_eq!(asked, b"GET /state/#room.red/ HTTP/1.1\r\nHost: green\r\nConnection: close\r\n\r\n");
    body
}

/// Reads the same response whole and byte by byte.
async fn both(answer: &str) -> Result<Bytes, PushFailure> {
    let whole = answered(answer.as_bytes(), usize::MAX, false).await;
    assert_eq!(answered(answer.as_bytes(), 1, false).await, whole, "{answer:?}");
    whole
}

#[tokio::test]
async fn raw_get_reads_every_framing() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnullGARBAGE",
        "HTTP/1.0 200 OK\r\n\r\nnull",
        "HTTP/1.1 200 OK\nServer: TwistedWeb/14.0.2\n\nnull",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nnu\r\n02\r\nll\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
    ] {
        assert_eq!(both(answer).await, Ok(Bytes::from_static(b"null")), "{answer:?}");
    }
    assert_eq!(both("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await, Ok(Bytes::new()));
    assert_eq!(both("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n12345678").await, Ok(Bytes::from_static(b"12345678")));
}

#[tokio::test]
async fn raw_get_status_maps_to_failure() {
    let lost = both("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"\"\r\n0\r\n\r\n").await;
    assert_eq!(lost, Err(PushFailure::Refused { status: 404, reason: "\"\"".to_owned() }));
    let busy = both("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\nnot\nnow").await;
    let expected =
        PushFailure::Troubled { status: 503, reason: "not now".to_owned(), retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(busy, Err(expected));
    for other in ["HTTP/1.1 204 None\r\n\r\n", "HTTP/1.1 202 Later\r\nContent-Length: 2\r\n\r\n{}"] {
        assert!(matches!(both(other).await, Err(PushFailure::Unreadable(_))), "{other:?}");
    }
    let moved = both("HTTP/1.1 302 There\r\nLocation: http://127.0.0.1/\r\n\r\n").await;
    assert!(matches!(moved, Err(PushFailure::Redirected { status: 302 })), "never followed");
}

#[tokio::test]
async fn oversized_raw_response_is_cut_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n123456789",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n123456789",
    ] {
        assert_eq!(both(answer).await, Err(EIGHT_BYTES.exceeded()), "{answer:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_BYTES_MAX + READ_BYTES));
    assert_eq!(answered(endless.as_bytes(), usize::MAX, true).await, Err(HEAD_LIMIT.exceeded()));
}

#[tokio::test]
async fn ambiguous_raw_response_is_unreadable() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nnull",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nnull5",
        "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nnull",
    ] {
        assert!(matches!(both(answer).await, Err(PushFailure::Unreadable(_))), "{answer:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(2 * CHUNK_LINE_MAX));
    let failure = answered(endless.as_bytes(), usize::MAX, true).await;
    assert!(matches!(failure, Err(PushFailure::Unreadable(_))), "{failure:?}");
}

#[tokio::test]
async fn broken_raw_response_is_transport_failure() {
    for answer in [
        "",
        "no http at all\r\n\r\n",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnul",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n",
    ] {
        assert!(matches!(both(answer).await, Err(PushFailure::Broken(_))), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_raw_response_times_out() {
    for start in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n\r\n{"] {
        assert_eq!(answered(start.as_bytes(), usize::MAX, true).await, Err(PushFailure::TimedOut), "{start:?}");
    }
    let known = answered(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nsorr", usize::MAX, true).await;
    let kept = PushFailure::Troubled { status: 500, reason: "sorr".to_owned(), retry_after: None };
    assert_eq!(known, Err(kept), "the status decides, even if the body is incomplete");
    let (ours, mut theirs) = duplex(64);
    let drip = tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'y')) {
            second.tick().await;
            if theirs.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    let (started, total) = (Instant::now(), Duration::from_millis(90_500));
    assert_eq!(exchange(ours, &asking("/#"), started + total).await, Err(PushFailure::TimedOut));
    assert_eq!(started.elapsed().as_secs(), total.as_secs());
    drip.await.expect("no panic");
}

#[tokio::test]
async fn invalid_raw_target_is_refused() {
    for target in ["/a b", "/a\r\nX: y", "/\u{e9}", "/\u{7f}", "/\t"] {
        let (ours, _theirs) = duplex(64);
        let failure = exchange(ours, &asking(target), Instant::now() + Duration::from_secs(5)).await;
        assert!(matches!(failure, Err(PushFailure::Unreachable(_))), "{target:?}");
    }
}
