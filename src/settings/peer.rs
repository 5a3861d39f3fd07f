//! One listed peer: its limits and the link to it, checked.

use std::borrow::Borrow;
use std::sync::Arc;

use actors::limits::{Habits, PairOrder, PeerLimits};
use actors::model::ServerName;
use ipnet::IpNet;
use serde::Deserialize;

use super::address::{Address, BadAddress};
use super::check::Check;
use super::problem::Fault;
use super::range::Range;
use super::resolve::{Origin, Resolved};

/// One listed peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its name.
    pub name: ServerName,
    /// What bounds its actor.
    pub limits: Arc<PeerLimits>,
    /// How it is spoken to.
    pub link: Link,
    /// Where each of its values came from, every key of a peer in the manual's order.
    pub origins: Arc<[(&'static str, Origin)]>,
}

/// How a peer is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// In which dialect.
    pub dialect: Dialect,
    /// What kind of server it is.
    pub profile: Profile,
    /// Where it is reached, in the order to try.
    pub addresses: Vec<Address>,
    /// How it proves who it is.
    pub auth: Auth,
    /// Plain HTTP may leave the machine.
    pub insecure: bool,
}

/// The dialect spoken to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Pushes of numbered updates.
    Updates,
    /// Transactions of PDUs.
    Transactions,
}

/// What kind of server a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// Another gateway like this one.
    #[serde(rename = "fernpost")]
    Fernpost,
    /// A server that knows the updates dialect as it was first written: one strong update a push.
    #[serde(rename = "actor-2016")]
    Actor2016,
    /// The first public server of the transactions dialect, on a private link: it has neither TLS nor a proof of its name.
    #[serde(rename = "synapse-2014")]
    Synapse2014,
}

impl Profile {
    /// What such a server's keys are where nobody has set them. Whatever is set wins, wherever it stands.
    pub(super) fn defaults(self) -> &'static [(&'static str, Preset)] {
        match self {
            Self::Fernpost | Self::Actor2016 => &[],
            Self::Synapse2014 => &[
                ("dialect", Preset::Text("transactions")),
                ("auth", Preset::Text("network")),
                ("insecure", Preset::Yes),
                // It puts all that waits into one transaction, and forgets what is not taken.
                ("intake_items", Preset::Number(0)),
                // While it holds our request it looks for missing parents, and for each it tries 31 seconds to connect.
                ("request_timeout", Preset::Text("75s")),
            ],
        }
    }

    /// What such a server does in its own way.
    pub(super) fn habits(self) -> Habits {
        match self {
            Self::Fernpost | Self::Actor2016 => Habits::default(),
            Self::Synapse2014 => Habits { pairs: PairOrder::IdFirst, raw_targets: true },
        }
    }
}

/// The value of a key that a profile sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// This text.
    Text(&'static str),
    /// This number.
    Number(u32),
    /// `true`.
    Yes,
}

/// How a peer proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By the address it calls from: for private links only.
    Network {
        /// The ranges that are its own.
        allow_from: Vec<IpNet>,
    },
}

/// The peer, where everything about it can be used.
pub(super) fn peer(
    resolved: Resolved,
    own: Option<&ServerName>,
    alike: &mut Alike,
    check: &mut Check<'_>,
) -> Option<Peer> {
    let limits = shared(&mut alike.limits, resolved.limits(check));
    let name = resolved.server.clone()?;
    if Some(&name) == own {
        check.invalid(&["peers", "server", name.as_str()], "this is our own name; a server is no peer of itself");
    }
    let auth = auth(&resolved, check);
    let addresses = addresses(&resolved, &name, check);
    let section = &resolved.section;
    let (dialect, profile, insecure) = (section.dialect, section.profile, section.insecure);
    let link = Link { dialect, profile, addresses, auth: auth?, insecure };
    let origins = shared(&mut alike.origins, resolved.origins);
    Some(Peer { name, limits, link, origins })
}

/// What peers have in common, each once: most of a thousand say nothing of their own, and would hold two kilobytes each to repeat
/// it.
#[derive(Default)]
pub(super) struct Alike {
    limits: Vec<Arc<PeerLimits>>,
    origins: Vec<Arc<[(&'static str, Origin)]>>,
}

/// So many different ones are compared with; where each peer is different, the search must not grow with them.
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

fn auth(resolved: &Resolved, check: &mut Check<'_>) -> Option<Auth> {
    let section = &resolved.section;
    let Some(super::peer_section::AuthKind::Network) = section.auth else {
        // Weaker proof is never assumed.
        let why = "it has to be set to how the peer proves who it is; in this version that is auth = \"network\", for private \
                   links, with the ranges it calls from in allow_from";
        check.invalid(&resolved.key("auth"), why);
        return None;
    };
    let mut allow_from = Vec::new();
    for Range(net) in &section.allow_from {
        match net {
            IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some() => {
                check.invalid(&resolved.key("allow_from"), format!("{net} is an IPv4 range; write it as one"));
            }
            net => allow_from.push(net.trunc()),
        }
    }
    if section.allow_from.is_empty() {
        let why = "auth = \"network\" believes nobody without it; list the ranges the peer calls from";
        check.invalid(&resolved.key("allow_from"), why);
    }
    allow_from.shrink_to_fit();
    Some(Auth::Network { allow_from })
}

fn addresses(resolved: &Resolved, name: &ServerName, check: &mut Check<'_>) -> Vec<Address> {
    let section = &resolved.section;
    let key = resolved.key("addresses");
    let mut addresses = Vec::new();
    for text in &section.addresses {
        match text.parse::<Address>() {
            Ok(address) if address.is_loopback() || section.insecure => addresses.push(address),
            Ok(_) => check.invalid(
                &key,
                format!("\"{text}\" leaves the machine in plain text; set insecure = true if the link is private"),
            ),
            Err(BadAddress::Tls) => {
                let instead = "on a private link use http:// with insecure = true";
                check.fault(&key, Fault::Unavailable { value: Some(text.clone()), instead: Some(instead) });
            }
            Err(why) => check.invalid(&key, format!("\"{text}\": {why}")),
        }
    }
    if section.addresses.is_empty() {
        let by_name = format!("http://{name}").parse::<Address>().ok();
        match by_name.filter(|address| address.ip().is_some() && address.is_loopback()) {
            Some(address) => addresses.push(address),
            None => check.invalid(&key, "a peer needs an address; names are not looked up in this version"),
        }
    }
    addresses.shrink_to_fit();
    addresses
}
