//! The profile of a peer, the defaults that it sets, and the dialect of requests to the peer.

use actors::limits::{InteropQuirks, PairOrder};
use actors::model::DialectSpec;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::wire::DIALECTS;

/// The dialect of requests to a peer, by its name: one of those that the gateway speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DialectName(pub(crate) DialectSpec);

impl<'de> Deserialize<'de> for DialectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || {
            let known: Vec<String> = DIALECTS.0.iter().map(|dialect| format!("`{}`", dialect.spec().name)).collect();
            D::Error::custom(format!("unknown variant `{name}`, expected {}", known.join(" or ")))
        };
        DIALECTS.named(&name).map(|dialect| Self(dialect.spec())).ok_or_else(unknown)
    }
}

/// The kind of server that a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PeerProfile {
    /// Another gateway like this one.
    #[serde(rename = "fernpost")]
    Fernpost,
    /// A server with the first version of the updates dialect: one strong update per push.
    #[serde(rename = "actor-2016")]
    Actor2016,
    /// The first public server of the transactions dialect, on a private link: it has neither TLS nor a proof of its
    /// name.
    #[serde(rename = "synapse-2014")]
    Synapse2014,
}

impl PeerProfile {
    /// Returns the defaults of the kind of server. A value that is set in any layer overrides them.
    pub(crate) fn defaults(self) -> &'static [(&'static str, ProfilePreset)] {
        match self {
            Self::Fernpost | Self::Actor2016 => &[],
            Self::Synapse2014 => &[
                ("dialect", ProfilePreset::Text("transactions")),
                ("auth", ProfilePreset::Text("network")),
                ("insecure", ProfilePreset::Yes),
                // Such a server puts all pending PDUs into one transaction and discards those that are refused.
                ("intake_items", ProfilePreset::Number(0)),
                // Such a server processes all PDUs of a transaction before it answers.
                ("batch_items", ProfilePreset::Number(100)),
                // Such a server signs nothing, and its users wait for what it passes on.
                ("accept_relayed", ProfilePreset::Text("any")),
                // While such a server processes our request, it fetches missing parents and tries for 31 seconds to connect
                // for each of them.
                ("request_timeout", ProfilePreset::Text("75s")),
            ],
        }
    }

    /// Returns the interop quirks of the kind of server.
    pub(crate) fn habits(self) -> InteropQuirks {
        match self {
            Self::Fernpost | Self::Actor2016 => InteropQuirks::default(),
            Self::Synapse2014 => InteropQuirks { pairs: PairOrder::IdFirst, raw_targets: true, protobuf: false },
        }
    }
}

/// The value that a profile sets for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProfilePreset {
    /// A value that is a text.
    Text(&'static str),
    /// A value that is a number.
    Number(u32),
    /// The boolean value `true`.
    Yes,
}
