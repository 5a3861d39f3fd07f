//! The known keys, derived from the sections themselves, so that there is no second list to keep in step.

use crate::settings::field_names::fields_of;
use crate::settings::problem::ProblemKind;
use crate::settings::sections::admin::AdminSection;
use crate::settings::sections::contexts::verify::VerifySection;
use crate::settings::sections::contexts::{
    ContextsSection, GapSection, HistorySection, MembershipSection, StateSection,
};
use crate::settings::sections::federation::FederationSection;
use crate::settings::sections::feed::FeedSection;
use crate::settings::sections::messenger::MessengerSection;
use crate::settings::sections::network::NetworkSection;
use crate::settings::sections::observation::log::LogSection;
use crate::settings::sections::observation::metrics::MetricsSection;
use crate::settings::sections::observation::otlp::OtlpSection;
use crate::settings::sections::peer::{PeerSection, PeersSection};
use crate::settings::sections::push::PushSection;
use crate::settings::sections::relay::RelaySection;
use crate::settings::sections::rpc::RpcSection;
use crate::settings::sections::server::ServerSection;
use crate::settings::sections::store::{BackupSection, StoreSection};
use crate::settings::sections::strangers::StrangersSection;
use crate::settings::sections::tls::acme::AcmeSection;
use crate::settings::sections::tls::{FederationTlsSection, TlsSection};

/// The whole configuration as written.
#[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSettings {
    pub(super) server: ServerSection,
    pub(super) federation: FederationSection,
    pub(super) messenger: MessengerSection,
    pub(super) admin: AdminSection,
    pub(super) log: LogSection,
    pub(super) metrics: MetricsSection,
    pub(super) otlp: OtlpSection,
    pub(super) store: StoreSection,
    pub(super) contexts: ContextsSection,
    pub(super) feed: FeedSection,
    pub(super) rpc: RpcSection,
    pub(super) network: NetworkSection,
    pub(super) relay: RelaySection,
    pub(super) peers: PeersSection,
}

/// The keys that a table may have.
pub(super) enum KnownNames {
    /// Only these keys are valid.
    Fixed(&'static [&'static str]),
    /// Any keys: they are names of servers or patterns.
    Any,
}

/// Returns the keys of the table at this path; `None` if it is not a table.
pub(super) fn names(path: &[impl AsRef<str>]) -> Option<KnownNames> {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    Some(KnownNames::Fixed(match path.as_slice() {
        [] => fields_of::<RawSettings>(),
        ["server"] => fields_of::<ServerSection>(),
        ["federation"] => fields_of::<FederationSection>(),
        ["federation", "acme"] => fields_of::<AcmeSection>(),
        ["federation", "tls"] => fields_of::<FederationTlsSection>(),
        ["federation", "strangers"] => fields_of::<StrangersSection>(),
        ["messenger" | "admin", "tls"] => fields_of::<TlsSection>(),
        ["messenger"] => fields_of::<MessengerSection>(),
        ["messenger", "push"] => fields_of::<PushSection>(),
        ["admin"] => fields_of::<AdminSection>(),
        ["metrics"] => fields_of::<MetricsSection>(),
        ["otlp"] => fields_of::<OtlpSection>(),
        ["log"] => fields_of::<LogSection>(),
        ["store"] => fields_of::<StoreSection>(),
        ["store", "backup"] => fields_of::<BackupSection>(),
        ["contexts"] => fields_of::<ContextsSection>(),
        ["contexts", "gap"] => fields_of::<GapSection>(),
        ["contexts", "verify"] => fields_of::<VerifySection>(),
        ["contexts", "history"] => fields_of::<HistorySection>(),
        ["contexts", "membership"] => fields_of::<MembershipSection>(),
        ["contexts", "state"] => fields_of::<StateSection>(),
        ["feed"] => fields_of::<FeedSection>(),
        ["rpc"] => fields_of::<RpcSection>(),
        ["network"] => fields_of::<NetworkSection>(),
        ["relay"] => fields_of::<RelaySection>(),
        ["peers"] => fields_of::<PeersSection>(),
        ["peers", "default"] | ["peers", "pattern" | "server", _] => fields_of::<PeerSection>(),
        ["peers", "pattern" | "server"] => return Some(KnownNames::Any),
        _ => return None,
    }))
}

/// Keys and sections that are planned and not implemented. They are refused by name and never ignored: a configuration
/// with `tls` must not run without it. `*` stands for `default`, a pattern or a server.
const PLANNED_KEYS: &[&str] = &["server.actor_threads"];

/// Returns the path with `*` in place of the selected peers.
fn without_names(path: &[impl AsRef<str>]) -> String {
    let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
    match path.as_slice() {
        ["peers", "default", rest @ ..] | ["peers", "pattern" | "server", _, rest @ ..] => {
            [&["peers", "*"], rest].concat().join(".")
        }
        path => path.join("."),
    }
}

/// Returns the fault of this key in this table; `None` if it is valid.
pub(super) fn key_fault(table: &[String], key: &str) -> Option<ProblemKind> {
    let known = match names(table) {
        None => &[][..],
        Some(KnownNames::Any) => return None,
        Some(KnownNames::Fixed(known)) if known.contains(&key) => return None,
        Some(KnownNames::Fixed(known)) => known,
    };
    let path = [table, &[key.to_owned()]].concat();
    if PLANNED_KEYS.contains(&without_names(&path).as_str()) {
        return Some(ProblemKind::Unavailable);
    }
    Some(ProblemKind::Unknown(nearest(key, known)))
}

/// Similarity from which a name counts as misspelt.
const SLIP: f64 = 0.8;

/// Returns the most similar known name alone if it is very similar; otherwise all of them, the most similar first.
fn nearest(key: &str, known: &[&str]) -> Vec<String> {
    let mut by_nearness: Vec<(f64, &str)> = known.iter().map(|name| (strsim::jaro_winkler(key, name), *name)).collect();
    by_nearness.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    if by_nearness.first().is_some_and(|(similarity, _)| *similarity >= SLIP) {
        by_nearness.truncate(1);
    }
    by_nearness.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_fields_match_struct() {
        assert_eq!(fields_of::<FeedSection>(), ["retain", "high_water", "low_water", "ends"]);
        assert_eq!(fields_of::<RawSettings>().len(), 14);
        assert!(fields_of::<u32>().is_empty());
    }

    #[test]
    fn every_section_has_field_names() {
        for section in fields_of::<RawSettings>() {
            assert!(names(&[section]).is_some(), "{section}");
        }
    }

    #[test]
    fn planned_keys_are_unavailable() {
        for key in PLANNED_KEYS {
            let path: Vec<String> = key.replace('*', "default").split('.').map(str::to_owned).collect();
            let (last, table) = path.split_last().expect("not empty");
            assert_eq!(key_fault(table, last), Some(ProblemKind::Unavailable), "{key}");
        }
    }

    #[test]
    fn nearest_key_is_suggested() {
        assert_eq!(nearest("batch_item", fields_of::<PeerSection>()), ["batch_items"]);
        assert_eq!(nearest("qq", &["retain", "quick"]), ["quick", "retain"]);
    }
}
