//! A signed call, and a copy of it after a crash.

use ::fixtures::receivers::push_receiver::PushReceiver;
use fernpost::identity::request_signature::{NONCE_BYTES, sign_request};
use fernpost::identity::signature_base::SignedParts;

use crate::fixtures::node::GatewayProcess;
use crate::peers::signatures::{PUSH, codes, key, refused, seconds, send};
use crate::rpc::{answering, json};

const CALL: SignedParts<'static> = SignedParts { target: "/http/v1/rpc", ..PUSH };
const BODY: &str = r#"{"method":"pay"}"#;

#[tokio::test]
async fn copied_call_is_refused_after_crash() {
    let mut messenger = PushReceiver::answering(answering(json(200, r#"{"code":"PAID"}"#)));
    let url = format!("messenger.push.url=http://{}", messenger.listen().await);
    let (mut red, blue) = (GatewayProcess::new("red"), GatewayProcess::new("blue"));
    let (secret, pinned) = key(&blue);
    let section = format!("addresses = [\"http://{}\"]\nauth = \"signature\"\nkeys = [\"{pinned}\"]", blue.federation);
    red.peer_section("blue", &section);
    red.start_with(&[url.as_str()]).await;
    let us = "blue".parse().expect("a name");
    let signed = sign_request(&secret, &us, &CALL, BODY.as_bytes(), seconds(), [1; NONCE_BYTES]);
    assert_eq!(codes(send(&red, &CALL, BODY, &signed, "").await), refused(200, "PAID"));
    assert_eq!(codes(send(&red, &CALL, BODY, &signed, "").await), refused(401, "NONCE_SEEN"));
    red.kill();
    red.start_with(&[url.as_str()]).await;
    assert_eq!(codes(send(&red, &CALL, BODY, &signed, "").await), refused(401, "NONCE_SEEN"));
    assert_eq!(messenger.rpcs(1).await.len(), 1);
}
