//! Forwards whose origin's keys are unknown: they are kept, judged again every minute, and taken once the keys are had.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actors::model::{ForwardProof, PduProof, Seq};
use actors::ports::{ParkedFilter, StoreInspector};
use bytes::Bytes;
use fernpost::wire::pdu::PduReader;
use fernpost::wire::pdu::relay_judge::{ForwardVerification, PduVerification, RelayJudge, RelayedPdu, SignedForward};
use fernpost::wire::updates::{envelope, kept_forwards};
use fixtures::gateway::GatewayFixture;
use fixtures::peers::server;
use fixtures::time::{at_rest, seconds, world};
use tokio::task::spawn_local;

/// A judge that gets the keys of origins late.
#[derive(Default)]
struct LateKeys {
    are_known: AtomicBool,
    /// Number of forwards that were judged.
    judged: AtomicUsize,
}

impl RelayJudge for LateKeys {
    fn judge<'a>(&'a self, _: RelayedPdu<'a>) -> PduVerification<'a> {
        Box::pin(ready(PduProof::Sender))
    }

    fn verify_forward(&self, _: SignedForward) -> ForwardVerification<'_> {
        self.judged.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(match self.are_known.load(Ordering::Relaxed) {
            true => ForwardProof::Signature,
            false => ForwardProof::KeysUnknown("no key".to_owned()),
        }))
    }
}

/// A push of green with a forward of red for blue.
fn push_of_forward() -> Bytes {
    let sig = "A".repeat(86);
    let forward = format!(
        concat!(
            r#"{{"update":"forward","origin":"red.example","destination":"blue.example","id":"0190","hops":1,"#,
            r#""sent":1700000000000,"seq":1,"body":{{"n":1}},"#,
            r#""signature":{{"keyid":"red.example/1","sig":"{}=="}}}}"#
        ),
        sig
    );
    format!(r#"{{"strong":[{forward}],"seq":1,"from_seq":1}}"#).into()
}

#[tokio::test(start_paused = true)]
async fn kept_forward_is_judged_every_minute() {
    world(async {
        let (core, judge, green) = (GatewayFixture::new(), Arc::new(LateKeys::default()), server("green"));
        let reader = PduReader::new(&green, &core.gateway, &*judge);
        let push = envelope::decode(&push_of_forward(), 10, &reader, "network").await.expect("a push");
        let receipt = core.gateway.accept(&green, push).await.expect("accepted");
        assert_eq!(receipt.parked, [(Seq(1), "KEYS_UNKNOWN")]);
        let kept = async || core.store.parked(ParkedFilter::default(), None, 9).await.expect("a page").rows.len();
        let judged = || judge.judged.load(Ordering::Relaxed);

        spawn_local(kept_forwards::run(core.gateway.clone(), Arc::new(core.store.clone()), judge.clone()));
        at_rest().await;
        assert_eq!((judged(), kept().await), (2, 1), "once when it came, and at the start");
        judge.are_known.store(true, Ordering::Relaxed);
        seconds(58).await;
        assert_eq!((judged(), core.updates(&server("red")).await), (2, vec![]));
        seconds(2).await;
        let taken = core.updates(&server("red")).await;
        assert_eq!(taken, [(1, 1, Bytes::from_static(br#"{"n":1}"#))]);
        assert_eq!((judged(), kept().await), (3, 0));
        seconds(120).await;
        assert_eq!((judged(), core.updates(&server("red")).await.len()), (3, 1), "it is taken once");
    })
    .await;
}
