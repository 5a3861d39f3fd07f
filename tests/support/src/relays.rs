//! Judges of relayed PDUs: one that takes every server's word, and one that knows the keys of the test servers.

use std::future::ready;
use std::sync::Arc;

use actors::model::{PduProof, ServerName};
use fernpost::identity::origin_keys::{KeyLookup, OriginKeys};
use fernpost::identity::public_key::PeerKeys;
use fernpost::wire::pdu::relay_judge::{PduVerification, RelayJudge, RelayedPdu, SignatureRelayJudge};

use crate::keys::key_of;
use crate::peers::{EVERYBODY, server};

/// Accepts the PDUs of others from every server, as gateways do from servers of 2014.
pub struct TrustingRelayJudge;

impl RelayJudge for TrustingRelayJudge {
    fn judge<'a>(&'a self, _: RelayedPdu<'a>) -> PduVerification<'a> {
        Box::pin(ready(PduProof::Sender))
    }
}

/// The keys of the test servers. Nobody knows those of another server.
struct TestKeys;

impl OriginKeys for TestKeys {
    fn keys_of<'a>(&'a self, origin: &'a ServerName) -> KeyLookup<'a> {
        let key = key_of(origin);
        let known = EVERYBODY
            .iter()
            .any(|word| server(word) == *origin)
            .then(|| PeerKeys::from([(key.id().clone(), key.public())]));
        Box::pin(ready(known))
    }
}

/// Returns the judge of this server, which verifies signatures in the task of its caller.
pub fn judge_of(us: &ServerName) -> Arc<dyn RelayJudge> {
    Arc::new(SignatureRelayJudge::inline(us.clone(), Arc::new(TestKeys)))
}
