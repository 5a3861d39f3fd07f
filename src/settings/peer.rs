//! One configured peer: its limits and its link, checked.

use std::borrow::Borrow;
use std::sync::Arc;

use actors::limits::PeerLimits;
use actors::model::{DialectSpec, ServerName};
use ipnet::IpNet;

use crate::egress::PeerAddress;
use crate::identity::key_id::{KeyId, KeyIdError};
use crate::identity::public_key::{PeerKeys, PublicKey};
use crate::settings::check::SettingsCheck;
use crate::settings::resolve::{ResolvedPeer, ValueOrigin};
use crate::settings::sections::peer::AuthKind;
use crate::settings::values::profile::PeerProfile;
use crate::settings::values::range::AddressRange;
use crate::tls::spki_pin::SpkiPin;

/// A peer as the configuration describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PeerSettings {
    /// Name of the peer.
    pub name: ServerName,
    /// Limits of its actor.
    pub limits: Arc<PeerLimits>,
    /// Link to the peer.
    pub link: PeerLink,
    /// Origin of each of its values; the keys are in the manual's order.
    pub origins: Arc<[(&'static str, ValueOrigin)]>,
}

/// The link to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLink {
    /// Dialect of requests to the peer.
    pub dialect: DialectSpec,
    /// Kind of server that the peer is.
    pub profile: PeerProfile,
    /// Addresses in the order in which they are tried.
    pub addresses: Vec<PeerAddress>,
    /// Authentication of the peer.
    pub auth: PeerAuth,
    /// Public keys of the peer, whatever its authentication: they verify its PDUs that others pass on.
    pub keys: PeerKeys,
    /// If true, plain HTTP may leave the machine.
    pub insecure: bool,
    /// If true, the peer may ask us to look it up and call it.
    pub reach_tests: bool,
}

/// The authentication of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAuth {
    /// By the address that it calls from; for private links only.
    Network {
        /// Address ranges of the peer.
        allow_from: Vec<IpNet>,
    },
    /// By the signature of its requests.
    Signature {
        /// Pinned public keys of the peer; empty: those of its key directory.
        keys: PeerKeys,
    },
    /// By its certificate.
    Certificate {
        /// Pinned public keys; empty: the chain is judged.
        fingerprints: Arc<[SpkiPin]>,
    },
}

/// Returns the peer if all of its values are valid.
pub(super) fn peer(
    resolved: ResolvedPeer,
    own: Option<&ServerName>,
    alike: &mut SharedLimits,
    check: &mut SettingsCheck<'_>,
) -> Option<PeerSettings> {
    let limits = shared(&mut alike.limits, resolved.limits(check));
    let name = resolved.server.clone()?;
    if Some(&name) == own {
        check.invalid(&["peers", "server", name.as_str()], "this is our own name; a server cannot be its own peer");
    }
    let keys = pinned_keys(&resolved, check);
    let addresses = addresses(&resolved, check);
    let auth = auth(&resolved, keys.as_ref(), &addresses, check);
    let section = &resolved.section;
    let (dialect, profile) = (section.dialect.0, section.profile);
    let (insecure, reach_tests) = (section.insecure, section.reach_tests);
    let link = PeerLink { dialect, profile, addresses, auth: auth?, keys: keys?, insecure, reach_tests };
    let origins = shared(&mut alike.origins, resolved.origins);
    Some(PeerSettings { name, limits, link, origins })
}

/// Values that peers share, each stored once: of a thousand peers, most have no values of their own and would repeat two
/// kilobytes each.
#[derive(Default)]
pub(super) struct SharedLimits {
    limits: Vec<Arc<PeerLimits>>,
    origins: Vec<Arc<[(&'static str, ValueOrigin)]>>,
}

/// Maximum number of distinct values to compare with, so that the search does not grow if all peers differ.
const ALIKE_MAX: usize = 64;

fn shared<T, V>(known: &mut Vec<Arc<T>>, value: V) -> Arc<T>
where
    V: Borrow<T> + Into<Arc<T>>,
    T: PartialEq + ?Sized,
{
    if let Some(same) = known.iter().find(|other| ***other == *value.borrow()) {
        return Arc::clone(same);
    }
    let new: Arc<T> = value.into();
    if known.len() >= ALIKE_MAX {
        known.remove(0);
    }
    known.push(Arc::clone(&new));
    new
}

fn auth(
    resolved: &ResolvedPeer,
    keys: Option<&PeerKeys>,
    addresses: &[PeerAddress],
    check: &mut SettingsCheck<'_>,
) -> Option<PeerAuth> {
    match resolved.section.auth {
        Some(AuthKind::Network) => Some(by_address(resolved, check)),
        Some(AuthKind::Signature) => by_signature(resolved, keys, addresses, check),
        Some(AuthKind::Mtls) => Some(by_certificate(resolved, check)),
        None => {
            // A weaker authentication is never assumed.
            let why = "it must be set: auth = \"mtls\", auth = \"signature\", or auth = \
                \"network\", for private links, with the peer's address ranges in allow_from";
            check.invalid(&resolved.key("auth"), why);
            None
        }
    }
}

/// Returns the public keys of a peer; `None` if one is not valid.
fn pinned_keys(resolved: &ResolvedPeer, check: &mut SettingsCheck<'_>) -> Option<PeerKeys> {
    let key = resolved.key("keys");
    if !matches!(resolved.origin("keys"), ValueOrigin::Server | ValueOrigin::Default) {
        check.invalid(&key, "a key is that of one server; set it under [peers.server.\"NAME\"]");
    }
    let mut keys: Vec<(KeyId, PublicKey)> = Vec::new();
    for text in &resolved.section.keys {
        match pinned_key(text) {
            Ok((id, _)) if keys.iter().any(|(other, _)| *other == id) => {
                check.invalid(&key, format!("the key id {id} is there twice"));
            }
            Ok(pinned) => keys.push(pinned),
            Err(why) => check.invalid(&key, format!("\"{text}\": {why}")),
        }
    }
    (keys.len() == resolved.section.keys.len()).then(|| keys.into())
}

fn by_signature(
    resolved: &ResolvedPeer,
    keys: Option<&PeerKeys>,
    addresses: &[PeerAddress],
    check: &mut SettingsCheck<'_>,
) -> Option<PeerAuth> {
    if resolved.section.profile == PeerProfile::Synapse2014 {
        check.invalid(
            &resolved.key("auth"),
            "a server of profile \"synapse-2014\" signs nothing; use auth = \"network\"",
        );
    }
    if matches!(resolved.origin("allow_from"), ValueOrigin::Server) {
        let why = "it has no effect, because auth = \"signature\" accepts the peer from any address";
        check.note(&resolved.key("allow_from"), why.to_owned());
    }
    if resolved.section.keys.is_empty() && !addresses.is_empty() && !addresses.iter().any(PeerAddress::uses_tls) {
        let why = "without it the key directory of the peer is fetched, which is done by https:// alone, and all `addresses` are \
            http://; set it (`fernpost keys list` at the peer prints the keys), or an https:// address";
        check.invalid(&resolved.key("keys"), why);
        return None;
    }
    keys.map(|keys| PeerAuth::Signature { keys: Arc::clone(keys) })
}

fn by_certificate(resolved: &ResolvedPeer, check: &mut SettingsCheck<'_>) -> PeerAuth {
    let key = resolved.key("fingerprints");
    if !matches!(resolved.origin("fingerprints"), ValueOrigin::Server | ValueOrigin::Default) {
        check.invalid(&key, "a fingerprint is that of one server; set it under [peers.server.\"NAME\"]");
    }
    if matches!(resolved.origin("allow_from"), ValueOrigin::Server) {
        let why = "it has no effect, because auth = \"mtls\" accepts the peer from any address";
        check.note(&resolved.key("allow_from"), why.to_owned());
    }
    let mut pins = Vec::new();
    for text in &resolved.section.fingerprints {
        match text.parse::<SpkiPin>() {
            Ok(pin) => pins.push(pin),
            Err(why) => check.invalid(&key, format!("\"{text}\": {why}")),
        }
    }
    PeerAuth::Certificate { fingerprints: pins.into() }
}

/// Reads `KEY_ID:BASE64`.
fn pinned_key(text: &str) -> Result<(KeyId, PublicKey), String> {
    let (id, key) = text.split_once(':').ok_or("a key is written as \"KEY_ID:BASE64\"")?;
    let id = id.parse().map_err(|error: KeyIdError| error.to_string())?;
    Ok((id, PublicKey::from_base64(key).map_err(|error| error.to_string())?))
}

fn by_address(resolved: &ResolvedPeer, check: &mut SettingsCheck<'_>) -> PeerAuth {
    let section = &resolved.section;
    let mut allow_from = Vec::new();
    for AddressRange(net) in &section.allow_from {
        match net {
            IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some() => {
                check.invalid(
                    &resolved.key("allow_from"),
                    format!(
                        "{net} is an IPv4 range in IPv6 form; write it as \
                    IPv4"
                    ),
                );
            }
            net => allow_from.push(net.trunc()),
        }
    }
    if section.allow_from.is_empty() {
        let why = "auth = \"network\" requires it; list the address ranges of the peer";
        check.invalid(&resolved.key("allow_from"), why);
    }
    allow_from.shrink_to_fit();
    PeerAuth::Network { allow_from }
}

fn addresses(resolved: &ResolvedPeer, check: &mut SettingsCheck<'_>) -> Vec<PeerAddress> {
    let section = &resolved.section;
    let key = resolved.key("addresses");
    let mut addresses = Vec::new();
    for text in &section.addresses {
        match text.parse::<PeerAddress>() {
            Ok(address) if address.uses_tls() || address.is_loopback() || section.insecure => addresses.push(address),
            Ok(_) => check.invalid(
                &key,
                format!(
                    "\"{text}\" is plain HTTP beyond this machine; use https://, or set insecure = true if the link is private"
                ),
            ),
            Err(why) => check.invalid(&key, format!("\"{text}\": {why}")),
        }
    }
    addresses.shrink_to_fit();
    addresses
}
