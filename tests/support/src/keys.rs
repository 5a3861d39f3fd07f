//! Signing keys of the test servers, each of which has one that follows from its name, and judges of relayed PDUs: one that takes
//! every server's word, and one that knows these keys.

use std::future::ready;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use actors::model::{ForwardProof, PduProof, ServerName};
use actors::ports::{Clock, Ports};
use fernpost::identity::key_ring::{KeyRing, StoredKey};
use fernpost::identity::origin_keys::{KeyLookup, KeyQuery, NoKeysError, OriginKeys};
use fernpost::identity::public_key::PeerKeys;
use fernpost::identity::signing_key::OwnKey;
use fernpost::wire::pdu::ContentText;
use fernpost::wire::pdu::relay_judge::{
    ForwardVerification, PduVerification, RelayJudge, RelayedPdu, SignatureRelayJudge, SignedForward,
};
use fernpost::wire::pdu::signer::PduSigner;
use zeroize::Zeroizing;

use crate::peers::{EVERYBODY, server};

/// Id of the key of each server.
pub const KEY_ID: &str = "1";

/// Returns the key of this server.
pub fn key_of(server: &ServerName) -> OwnKey {
    let mut seed = Zeroizing::new([0; 32]);
    let name = server.as_str().as_bytes();
    seed[..name.len().min(32)].copy_from_slice(&name[..name.len().min(32)]);
    OwnKey::from_seed(KEY_ID.parse().expect("an id"), &seed)
}

/// Returns the key ring of this server.
pub fn ring_of(server: &ServerName) -> Arc<KeyRing> {
    let key = StoredKey { key: key_of(server), created: UNIX_EPOCH, signs_from: UNIX_EPOCH };
    Arc::new(KeyRing::new(vec![key]))
}

/// Lets the gateway with these ports sign its PDUs.
pub fn sign_pdus(ports: &mut Ports, clock: Arc<dyn Clock>) {
    ports.text = Arc::new(ContentText::signed_by(PduSigner::new(ring_of(&ports.us), clock)));
}

/// Accepts the PDUs of others from every server, as gateways do from servers of 2014.
pub struct TrustingRelayJudge;

impl RelayJudge for TrustingRelayJudge {
    fn judge<'a>(&'a self, _: RelayedPdu<'a>) -> PduVerification<'a> {
        Box::pin(ready(PduProof::Sender))
    }

    fn verify_forward(&self, _: SignedForward) -> ForwardVerification<'_> {
        Box::pin(ready(ForwardProof::Signature))
    }
}

/// The keys of the test servers. Nobody knows those of another server.
struct TestKeys;

impl OriginKeys for TestKeys {
    fn keys_of<'a>(&'a self, query: KeyQuery<'a>) -> KeyLookup<'a> {
        let origin = query.server;
        let key = key_of(origin);
        let known = EVERYBODY
            .iter()
            .any(|word| server(word) == *origin)
            .then(|| PeerKeys::from([(key.id().clone(), key.public())]))
            .ok_or(NoKeysError::NotFetched);
        Box::pin(ready(known))
    }
}

/// Returns the judge of this server, which verifies signatures in the task of its caller.
pub fn judge_of(us: &ServerName) -> Arc<dyn RelayJudge> {
    Arc::new(SignatureRelayJudge::inline(us.clone(), Arc::new(TestKeys)))
}
