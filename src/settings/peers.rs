//! The configured peers, their limits, and the identification of callers by address.

mod stranger_rules;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::{ContextGroups, ContextLimits, OverloadLimits, PeerLimits, PeerListing};
use actors::model::{DialectSpec, ServerName};
use actors::ports::PeerConfig;
use config::Value;
use ipnet::IpNet;

use super::check::SettingsCheck;
use super::peer::{self, PeerAuth, PeerSettings, SharedLimits};
use super::resolve::PeerTables;
use super::sections::federation::FederationSettings;
use super::sections::peer::PeerBounds;
use super::sections::relay::RelaySettings;
use super::sections::strangers::StrangersSettings;
use super::shared_ranges::SharedRanges;
use crate::identity::public_key::PeerKeys;
use crate::settings::FederationMode;
use crate::settings::peers::stranger_rules::StrangersRules;
use crate::settings::values::pattern::NamePattern;
use crate::settings::values::profile::PeerProfile;
use crate::tls::spki_pin::SpkiPin;

/// The table of all configured peers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeerTable {
    by_name: HashMap<ServerName, Arc<PeerSettings>>,
    order: Vec<ServerName>,
    /// Ranges by prefix length, each with the peer it is listed for: a lookup takes one step per length, however many
    /// peers there are.
    ranges: BTreeMap<u8, HashMap<IpNet, RangeOwner>>,
    /// Ranges that each configured peer may call from. A denied peer is authenticated like any other and then refused
    /// as denied: a caller that is not authenticated learns nothing.
    proofs: HashMap<ServerName, Vec<IpNet>>,
    deny: Vec<NamePattern>,
    /// Ways on which this server passes on what others write: origin and destination.
    relay_allow: Vec<(NamePattern, NamePattern)>,
    contexts: Arc<ContextLimits>,
    overload: OverloadLimits,
    bounds: PeerBounds,
    /// Ranges of the trusted reverse proxies.
    proxies: Vec<IpNet>,
    /// Header in which they pass client certificates, in lower case.
    client_cert_header: Option<Arc<str>>,
    /// Keys of the peers that are authenticated by signature, also of denied ones, as `proofs` for addresses.
    keys: HashMap<ServerName, PeerKeys>,
    /// Pinned public keys of the certificates of peers that are authenticated so, also of denied ones.
    pins: HashMap<ServerName, Arc<[SpkiPin]>>,
    /// All of these keys.
    pinned: HashSet<SpkiPin>,
    /// These peers by the host of their name.
    certified: HashMap<Box<str>, Vec<ServerName>>,
    /// Server of each of these keys, by its bytes.
    key_owners: HashMap<[u8; 32], ServerName>,
    /// Limits of `[peers.default]`, for a server that is no longer listed.
    unlisted: Arc<PeerLimits>,
    /// The same, for a server that is denied.
    refused: Arc<PeerLimits>,
    strangers: StrangersRules,
}

/// The owner of a range.
#[derive(Debug, Clone, PartialEq)]
enum RangeOwner {
    One(ServerName),
    Several,
}

impl PeerTable {
    /// Reads the peers of a merged configuration.
    pub(super) fn read(
        merged: &Value,
        own: Option<&ServerName>,
        federation: &FederationSettings,
        contexts: ContextLimits,
        relay: RelaySettings,
        check: &mut SettingsCheck<'_>,
    ) -> Self {
        let tables = PeerTables::read(merged, relay.limits, check);
        let others = tables.resolve(None).limits(check);
        let of = |listing| Arc::new(PeerLimits { listing, ..others.clone() });
        let (unlisted, refused) = (of(PeerListing::NotListed), of(PeerListing::Denied));
        let strangers = StrangersRules::read(federation.mode, federation.strangers, own, &tables, check);
        let (deny, contexts) = (federation.deny.clone(), Arc::new(contexts));
        let relay_allow = relay.allow;
        let mut peers = Self { deny, contexts, unlisted, refused, strangers, relay_allow, ..Self::default() };
        let mut alike = SharedLimits::default();
        let mut shared = SharedRanges::default();
        for name in tables.listed() {
            if let Some(pattern) = peers.denied_by(name) {
                let why = format!(
                    "federation.deny contains \"{pattern}\", which denies this peer; remove it from one \
                    of the two"
                );
                check.note(&["peers", "server", name.as_str()], why);
            }
            if let Some(peer) = peer::peer(tables.resolve(Some(name)), own, &mut alike, check) {
                peers.hold_proofs(&peer, check);
                shared.note(&peer, peers.denied(name));
                // A denied peer is left out here, so that no other code has to check `federation.deny`.
                if !peers.denied(name) {
                    peers.order.push(peer.name.clone());
                    peers.by_name.insert(peer.name.clone(), Arc::new(peer));
                }
            }
        }
        shared.check(check);
        let mapped = peers.order.iter().filter_map(|name| Some((name, &peers.by_name.get(name)?.limits.groups)));
        let groups = ContextGroups::of_peers(mapped);
        Arc::make_mut(&mut peers.contexts).groups = groups;
        peers.check_routes(check);
        if federation.mode == FederationMode::Open {
            return peers;
        }
        for pattern in tables.idle_patterns() {
            let why = "no listed peer matches it, so it has no effect";
            check.note(&["peers", "pattern", pattern.as_str()], why);
        }
        if peers.order.is_empty() {
            let why = "there is no peer, so nothing is sent and every request is rejected; list each peer under \
                [peers.server.\"NAME\"]";
            check.note(&["peers", "server"], why);
        }
        peers
    }

    /// Reports ways through servers that cannot pass on.
    fn check_routes(&self, check: &mut SettingsCheck<'_>) {
        for name in &self.order {
            let limits = &self.by_name[name].limits;
            for via in limits.relay.vias() {
                let why = match self.by_name.get(via) {
                    _ if via == name => format!("via:{via} is the peer itself"),
                    None => format!("via:{via} is no peer; list it under [peers.server.\"{via}\"]"),
                    Some(peer) if peer.link.profile != PeerProfile::Fernpost => {
                        format!("via:{via} has not the profile \"fernpost\", and passes nothing on")
                    }
                    Some(_) => continue,
                };
                check.invalid(&["peers", "server", name.as_str(), "route"], why);
            }
        }
    }

    /// Returns whether the server may be a peer without being configured, if it is not denied.
    pub fn is_open_to(&self, server: &ServerName) -> bool {
        let proofs = [self.keys.contains_key(server), self.pins.contains_key(server), self.proofs.contains_key(server)];
        !proofs.contains(&true) && self.strangers.are_open_to(server)
    }

    /// Returns whether servers that are not configured may be peers.
    pub fn is_open(&self) -> bool {
        self.strangers.mode == FederationMode::Open
    }

    /// Returns the bounds on servers that are not configured.
    pub fn stranger_bounds(&self) -> StrangersSettings {
        self.strangers.bounds
    }

    /// Returns the limits of a server that is a peer without being configured, and is addressed in this dialect.
    pub fn stranger_limits(&self, server: &ServerName, dialect: DialectSpec) -> Option<Arc<PeerLimits>> {
        let is_stranger = self.is_open_to(server) && !self.denied(server);
        is_stranger.then(|| self.strangers.limits(server, dialect))
    }

    /// Adds the limits of the whole gateway.
    pub(super) fn under(self, overload: OverloadLimits, bounds: PeerBounds) -> Self {
        Self { overload, bounds, ..self }
    }

    /// Makes this the table of a server with another name: the name waits for a restart.
    pub(super) fn of_server(mut self, own: &ServerName) -> Self {
        self.strangers.own = Some(own.clone());
        self
    }

    /// Adds the reverse proxies whose headers name the caller.
    pub(super) fn behind(self, proxies: Vec<IpNet>, client_cert_header: Option<&str>) -> Self {
        Self { proxies, client_cert_header: client_cert_header.map(Into::into), ..self }
    }

    /// Returns whether the address is that of a trusted reverse proxy.
    pub fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|range| range.contains(&address))
    }

    /// Returns the header, in lower case, in which a trusted proxy passes the client certificate.
    pub fn client_cert_header(&self) -> Option<Arc<str>> {
        self.client_cert_header.clone()
    }

    /// Returns the bounds of all peers together.
    pub(super) fn bounds(&self) -> PeerBounds {
        self.bounds
    }

    /// Returns the maximum number of nonces of one key.
    pub fn nonces_max(&self) -> u32 {
        self.bounds.nonces_max
    }

    /// Returns the keys of a peer that is authenticated by signature, also of a denied one.
    pub fn signature_keys(&self, server: &ServerName) -> Option<PeerKeys> {
        self.keys.get(server).cloned()
    }

    /// Returns the pinned public keys of a peer that is authenticated by certificate, also of a denied one; they may be none.
    pub fn certificate_pins(&self, server: &ServerName) -> Option<Arc<[SpkiPin]>> {
        self.pins.get(server).cloned()
    }

    /// Returns whether this public key is pinned for any peer, listed or denied.
    pub fn is_pinned(&self, key: &SpkiPin) -> bool {
        self.pinned.contains(key)
    }

    /// Returns whether a peer, listed or denied, is authenticated by its address.
    pub fn is_proved_by_address(&self, server: &ServerName) -> bool {
        self.proofs.contains_key(server)
    }

    /// Returns the peers with this host that are authenticated by certificate, also denied ones.
    pub fn certified_at(&self, host: &str) -> &[ServerName] {
        self.certified.get(host).map_or(&[], Vec::as_slice)
    }

    /// Records the ranges or the keys of a peer. A denied peer keeps its ranges, because otherwise its addresses would belong to
    /// the peer with the next shorter prefix.
    fn hold_proofs(&mut self, peer: &PeerSettings, check: &mut SettingsCheck<'_>) {
        self.check_keys(&peer.name, &peer.link.keys, check);
        let allow_from = match &peer.link.auth {
            PeerAuth::Network { allow_from } => allow_from,
            PeerAuth::Signature { keys } => {
                self.keys.insert(peer.name.clone(), Arc::clone(keys));
                return;
            }
            PeerAuth::Certificate { fingerprints } => {
                self.pins.insert(peer.name.clone(), Arc::clone(fingerprints));
                self.pinned.extend(fingerprints.iter().cloned());
                self.certified.entry(peer.name.host().into()).or_default().push(peer.name.clone());
                return;
            }
        };
        self.proofs.insert(peer.name.clone(), allow_from.clone());
        for net in allow_from {
            self.ranges
                .entry(net.prefix_len())
                .or_default()
                .entry(*net)
                .and_modify(|holder| match holder {
                    RangeOwner::One(name) if *name == peer.name => {}
                    holder => *holder = RangeOwner::Several,
                })
                .or_insert_with(|| RangeOwner::One(peer.name.clone()));
        }
    }

    /// Reports a key that is also that of another server, because its holder could act as both.
    fn check_keys(&mut self, name: &ServerName, keys: &PeerKeys, check: &mut SettingsCheck<'_>) {
        for (_, key) in keys.iter() {
            if let Some(other) = self.key_owners.insert(*key.as_bytes(), name.clone()).filter(|other| other != name) {
                let why = format!("one of these keys is also that of {other}; each server has keys of its own");
                check.invalid(&["peers", "server", name.as_str(), "keys"], why);
            }
        }
    }

    /// Returns the keys that verify what a peer has signed, whatever its authentication; `None` if it has none, is not listed, or
    /// is denied.
    pub fn origin_keys(&self, server: &ServerName) -> Option<PeerKeys> {
        self.by_name.get(server).map(|peer| Arc::clone(&peer.link.keys)).filter(|keys| !keys.is_empty())
    }

    /// Returns a peer; `None` if it is not listed, or denied.
    pub fn peer(&self, server: &ServerName) -> Option<Arc<PeerSettings>> {
        self.by_name.get(server).cloned()
    }

    /// Returns the peer that an address identifies: the one listed for it with the longest prefix; `None` if two peers
    /// share that prefix.
    pub fn who_may_be(&self, address: IpAddr) -> Option<ServerName> {
        match self.longest(address)? {
            (_, RangeOwner::One(name)) => self.by_name.contains_key(name).then(|| name.clone()),
            (_, RangeOwner::Several) => None,
        }
    }

    /// Returns whether a caller from this address may be this peer: no other peer is listed for the address with a
    /// longer prefix.
    pub fn believes(&self, server: &ServerName, address: IpAddr) -> bool {
        let (Some(ranges), Some((range, _))) = (self.proofs.get(server), self.longest(address)) else { return false };
        ranges.contains(&range)
    }

    /// Returns whether the address is in the ranges of any peer, including denied ones.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.longest(address).is_some()
    }

    /// Returns whether the name is denied, listed or not.
    pub fn denied(&self, server: &ServerName) -> bool {
        self.denied_by(server).is_some()
    }

    fn denied_by(&self, server: &ServerName) -> Option<&NamePattern> {
        self.deny.iter().find(|pattern| pattern.matches(server))
    }

    fn longest(&self, address: IpAddr) -> Option<(IpNet, &RangeOwner)> {
        let address = address.to_canonical();
        self.ranges.iter().rev().find_map(|(length, ranges)| {
            let range = IpNet::new(address, *length).ok()?.trunc();
            ranges.get(&range).map(|holder| (range, holder))
        })
    }
}

impl PeerConfig for PeerTable {
    fn limits(&self, server: &ServerName) -> Option<Arc<PeerLimits>> {
        self.by_name.get(server).map(|peer| Arc::clone(&peer.limits))
    }

    fn allows_relay(&self, origin: &ServerName, destination: &ServerName) -> bool {
        self.relay_allow.iter().any(|(from, to)| from.matches(origin) && to.matches(destination))
    }

    fn listed(&self) -> Vec<ServerName> {
        self.order.clone()
    }

    fn unlisted(&self, server: &ServerName) -> Arc<PeerLimits> {
        if self.denied(server) { self.refused.clone() } else { self.unlisted.clone() }
    }

    fn has_receipts(&self) -> bool {
        self.unlisted.receipts || self.by_name.values().any(|peer| peer.limits.receipts)
    }

    fn contexts(&self) -> Arc<ContextLimits> {
        self.contexts.clone()
    }

    fn peers_resident_max(&self) -> u32 {
        self.bounds.resident_max
    }

    fn peers_idle_after(&self) -> Duration {
        self.bounds.idle_after
    }

    fn overload(&self) -> OverloadLimits {
        self.overload
    }
}
