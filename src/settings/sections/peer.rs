//! `[peers.*]` as written: the limits of a peer and the link to it.

use actors::model::DialectSpec;
use std::collections::BTreeMap;
use std::time::Duration;

use actors::limits::{InteropQuirks, PEERS_IDLE_AFTER, PEERS_RESIDENT_MAX, PeerLimits, PeerListing};
use actors::peer_limits;
use serde::Deserialize;
use serde_json::Value;

use crate::settings::check::SettingsCheck;
use crate::settings::values::profile::{DialectName, PeerProfile};
use crate::settings::values::range::AddressRange;
use crate::settings::values::units::DurationValue;
use crate::settings::values::written_limit::{WrittenLimit, written_limit};

/// The bounds of all peers together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PeerBounds {
    /// Maximum number of peers in memory.
    pub(crate) resident_max: u32,
    /// Time after which a peer without work leaves memory.
    pub(crate) idle_after: Duration,
    /// Maximum number of signed requests that one key may make within ten minutes.
    pub(crate) nonces_max: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PeersSection {
    /// Maximum number of peers in memory; above it idle ones are evicted.
    resident_max: u32,
    /// Time after which a peer without work leaves memory.
    idle_after: DurationValue,
    /// Maximum number of signed requests that one key may make within ten minutes.
    nonces_max: u32,
    /// Values for every peer.
    default: PeerSection,
    /// Values for peers whose names match a pattern.
    pattern: BTreeMap<String, PeerSection>,
    /// Values for each peer, by name.
    server: BTreeMap<String, PeerSection>,
}

impl Default for PeersSection {
    fn default() -> Self {
        let (default, pattern, server) = Default::default();
        let idle_after = DurationValue(PEERS_IDLE_AFTER);
        Self { resident_max: PEERS_RESIDENT_MAX, idle_after, nonces_max: 100_000, default, pattern, server }
    }
}

impl PeersSection {
    /// Checks and returns the bounds of all peers together; the limits of each peer are read separately.
    pub(crate) fn check(&self, check: &mut SettingsCheck<'_>) -> PeerBounds {
        let limits = [("resident_max", self.resident_max.into()), ("nonces_max", self.nonces_max.into())];
        check.at_least_one(&["peers"], &limits);
        if self.idle_after.0.is_zero() {
            check.invalid(&["peers", "idle_after"], "it must be longer than 0s");
        }
        PeerBounds { resident_max: self.resident_max, idle_after: self.idle_after.0, nonces_max: self.nonces_max }
    }
}

/// The authentication of a peer. There is no default: a listed name alone must not admit anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthKind {
    /// By the network address of the caller.
    Network,
    /// By the signature of the request.
    Signature,
    /// By the client certificate.
    Mtls,
}

/// The encoding in which a peer is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WrittenEncoding {
    /// JSON text.
    Json,
    /// Protobuf, by `config/fernpost.proto`.
    Protobuf,
}

/// Makes the section of the table of limits, beside the keys of the link.
macro_rules! define_peer_section {
    ($($(#[$doc:meta])* $key:ident: $type:ty as $unit:ident = $default:expr $(, $range:ident)?;)*) => {
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct PeerSection {
            $($(#[$doc])* $key: written_limit!($unit, $type),)*
            /// Kind of server: "fernpost", "actor-2016" or "synapse-2014"; it sets defaults for other keys.
            pub(crate) profile: PeerProfile,
            /// Dialect of requests to the peer.
            pub(crate) dialect: DialectName,
            /// URLs of the peer, tried in order.
            pub(crate) addresses: Vec<String>,
            /// Authentication of the peer, both ways: "mtls" by its certificate, "signature" by the signature of its requests,
            /// "network" by the address it calls from; it must be set.
            pub(crate) auth: Option<AuthKind>,
            /// Ranges that the peer calls from; if two peers share one, its addresses identify neither without a name.
            pub(crate) allow_from: Vec<AddressRange>,
            /// Public keys of the peer, each "KEY_ID:BASE64", which verify its requests and its PDUs; without them those of its key
            /// directory do.
            pub(crate) keys: Vec<String>,
            /// Pinned public keys of the peer's certificate, each "sha256:HEX", for auth = "mtls"; without them its chain is judged.
            pub(crate) fingerprints: Vec<String>,
            /// Encoding of pushes and calls to the peer: "json" or "protobuf".
            pub(crate) encoding: WrittenEncoding,
            /// Contexts of the peer's groups, by the id of the group.
            pub(crate) groups: BTreeMap<String, String>,
            /// If true, plain http:// is allowed beyond loopback.
            pub(crate) insecure: bool,
            /// If true, the peer may ask us to look it up and call it as a server would that knows only its name.
            pub(crate) reach_tests: bool,
            /// Ways to the peer in the order in which they are tried: "direct", and "via:SERVER" for each server that may pass on.
            pub(crate) route: Vec<String>,
        }

        impl Default for PeerSection {
            fn default() -> Self {
                let limits = PeerLimits::default();
                Self {
                    $($key: WrittenLimit::write(limits.$key),)*
                    profile: PeerProfile::Fernpost,
                    dialect: DialectName(DialectSpec::UPDATES),
                    addresses: Vec::new(),
                    auth: None,
                    allow_from: Vec::new(),
                    keys: Vec::new(),
                    fingerprints: Vec::new(),
                    encoding: WrittenEncoding::Json,
                    groups: BTreeMap::new(),
                    insecure: false,
                    reach_tests: false,
                    route: vec!["direct".to_owned()],
                }
            }
        }

        impl PeerSection {
            /// Returns the limits, unchecked.
            pub(crate) fn limits(&self) -> PeerLimits {
                PeerLimits { $($key: self.$key.read(),)* ..self.implied() }
            }

            /// Returns the limits that are 0 and must not be, with the reason.
            pub(crate) fn zeros(&self) -> Vec<(&'static str, &'static str)> {
                let mut zeros = Vec::new();
                $($(zeros.extend(self.$key.$range().map(|why| (stringify!($key), why)));)?)*
                zeros
            }
        }

        /// Returns every limit by its key, as it is written, except those that are not set.
        pub(crate) fn written_limits(limits: &PeerLimits) -> BTreeMap<&'static str, Value> {
            let mut written = BTreeMap::new();
            $(if let Some(value) = <written_limit!($unit, $type)>::write(limits.$key).json() {
                written.insert(stringify!($key), value);
            })*
            written
        }
    };
}

peer_limits!(define_peer_section);

impl PeerSection {
    /// Returns what the profile and the dialect imply.
    fn implied(&self) -> PeerLimits {
        let is_synapse = self.profile == PeerProfile::Synapse2014;
        PeerLimits {
            listing: PeerListing::Listed,
            dialect: self.dialect.0,
            // A server with the first version of the updates dialect has no GETs.
            fetches: self.profile != PeerProfile::Actor2016,
            // Servers of 2014 have no such path.
            answers_calls: !is_synapse,
            // Servers of other profiles do not know `to`, and pass on every PDU that they have.
            honours_to: self.profile == PeerProfile::Fernpost,
            habits: InteropQuirks { protobuf: self.encoding == WrittenEncoding::Protobuf, ..self.profile.habits() },
            one_a_context: is_synapse,
            drops_batch_on_error_status: is_synapse,
            never_refuse: is_synapse,
            ..PeerLimits::default()
        }
    }
}
