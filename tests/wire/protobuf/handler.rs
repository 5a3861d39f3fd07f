//! `POST /http/v1/updates` with a content type: what is read, and the encoding of answers and errors.

use std::net::SocketAddr;

use actix_web::test::TestRequest;
use actors::errors::{BatchError, PeerError, UnavailableError};
use actors::model::{Ack, Seq};
use fernpost::http::body::encoded_errors::ErrorMessage;
use fernpost::wire::updates::protobuf::messages::AnswerMessage;
use prost::Message;

use crate::handler::{RouteKind, core, send, send_by, send_raw};

fn from(address: &str, content_type: &str) -> TestRequest {
    let peer: SocketAddr = format!("{address}:5000").parse().expect("an address");
    TestRequest::post().uri("/http/v1/updates").peer_addr(peer).insert_header(("content-type", content_type))
}

#[actix_web::test]
async fn protobuf_push_gets_protobuf_answer() {
    let core = core(Ok(Ack::Ok(Seq(9))));
    for named in ["application/x-protobuf", "application/protobuf; proto=fernpost.v1.Push"] {
        let request = from("10.1.0.1", named).set_payload(&b"\x12\x07{\"a\":1}\x12\x01x\x18\x09\x20\x08\x0a\x02{}"[..]);
        let answer = send_raw(&core, request).await;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/x-protobuf"));
        let read = AnswerMessage::decode(answer.body).expect("an answer");
        assert_eq!((read.receive.as_str(), read.seq, read.window), ("ok", 9, 2));
        let (peer, push) = core.taken.lock().expect("not poisoned").pop().expect("a push");
        assert_eq!((peer.as_str(), push.from_seq, push.seq, push.weak), ("red.example", Some(Seq(8)), Seq(9), 1));
        assert_eq!(push.strong[0].bytes, "{\"a\":1}");
    }
}

#[actix_web::test]
async fn errors_come_in_request_encoding() {
    let busy = || BatchError::Peer(PeerError::Unavailable(UnavailableError::Stopping));
    let wait = send_raw(&core(Err(busy())), from("10.1.0.1", "application/protobuf")).await;
    let read = AnswerMessage::decode(wait.body).expect("an answer");
    assert_eq!((wait.status, read.receive.as_str(), read.wait), (200, "wait", 1));

    let core = core(Ok(Ack::Ok(Seq(9))));
    let refused_by = async |routes, request: TestRequest| {
        let answer = send_by(routes, &core, request).await;
        assert_eq!(answer.content_type, "application/x-protobuf");
        let read = ErrorMessage::decode(answer.body).expect("an error");
        assert!(!read.error.is_empty(), "{read:?}");
        (answer.status, read.code)
    };
    let protobuf = |address: &str, body: &'static [u8]| from(address, "application/x-protobuf").set_payload(body);
    for routes in [RouteKind::Direct, RouteKind::Table] {
        let refused = async |body: &'static [u8]| refused_by(routes, protobuf("10.1.0.1", body)).await;
        assert_eq!(refused(b"{}").await, (400, "NOT_PROTOBUF".to_owned()));
        assert_eq!(refused(b"\x12\x02{}\x12\x02{}\x12\x02{}").await, (413, "PUSH_TOO_LONG".to_owned()));
        assert_eq!(refused(&[0; 500]).await, (413, "BODY_TOO_LARGE".to_owned()));
    }
    // The checks before the table refuse in JSON.
    let stranger = protobuf("10.9.0.1", b"");
    assert_eq!(refused_by(RouteKind::Table, stranger).await, (401, "UNAUTHENTICATED".to_owned()));
    assert!(core.taken.lock().expect("not poisoned").is_empty(), "nothing was taken");
}

#[actix_web::test]
async fn other_types_are_read_as_json() {
    let core = core(Ok(Ack::Ok(Seq(9))));
    for named in ["application/json", "text/plain", "x"] {
        let answer = send(&core, from("10.1.0.1", named).set_payload(r#"{"seq":9}"#)).await;
        assert_eq!((answer.status, answer.body["receive"].as_str()), (200, Some("ok")), "{named}");
    }
    for named in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer = send(&core, from("10.1.0.1", named).set_payload(r#"{"seq":9}"#)).await;
        assert_eq!((answer.status, answer.body["code"].as_str()), (415, Some("UNSUPPORTED_MEDIA_TYPE")), "{named}");
    }
}
