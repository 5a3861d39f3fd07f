//! Signing keys of the test servers: each has one, which follows from its name.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use actors::model::ServerName;
use actors::ports::{Clock, Ports};
use fernpost::identity::key_ring::{KeyRing, StoredKey};
use fernpost::identity::signing_key::OwnKey;
use fernpost::wire::pdu::ContentText;
use fernpost::wire::pdu::signer::PduSigner;
use zeroize::Zeroizing;

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
