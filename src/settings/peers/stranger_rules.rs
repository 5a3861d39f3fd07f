//! The rules for servers that no table lists, if the federation is open: their bounds, and the limits of each of them.

use std::sync::Arc;

use actors::limits::{PeerLimits, PeerListing, RelayPolicy};
use actors::model::{DialectSpec, ServerName};

use crate::settings::FederationMode;
use crate::settings::check::SettingsCheck;
use crate::settings::resolve::{PeerTables, StrangersTables};
use crate::settings::sections::strangers::StrangersSettings;
use crate::wire::DIALECTS;

/// The rules for strangers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StrangersRules {
    pub(super) mode: FederationMode,
    pub(super) bounds: StrangersSettings,
    /// Our own name, which is no stranger's.
    pub(super) own: Option<ServerName>,
    /// `[peers.default]` and the patterns.
    tables: StrangersTables,
    /// Limits of those that no pattern matches, and of those that only the pattern with this place matches, in each dialect. The
    /// limits of others are computed each time.
    usual: Vec<(Option<usize>, Arc<PeerLimits>)>,
}

impl StrangersRules {
    /// Returns the rules of a configuration; without strangers none is computed.
    pub(super) fn read(
        mode: FederationMode,
        bounds: StrangersSettings,
        own: Option<&ServerName>,
        tables: &PeerTables<'_>,
        check: &mut SettingsCheck<'_>,
    ) -> Self {
        let mut rules = Self { mode, bounds, own: own.cloned(), ..Self::default() };
        if mode == FederationMode::Allowlist {
            return rules;
        }
        rules.tables = tables.of_strangers();
        for pattern in std::iter::once(None).chain((0..rules.tables.patterns()).map(Some)) {
            let resolved = rules.tables.resolve(pattern.as_slice());
            resolved.limits(check);
            for dialect in DIALECTS.0 {
                rules.usual.push((pattern, Arc::new(rules.bounded(&resolved.section.limits(), dialect.spec()))));
            }
        }
        rules
    }

    /// Returns whether a server that is not configured may be a peer.
    pub(super) fn are_open_to(&self, server: &ServerName) -> bool {
        self.mode == FederationMode::Open && self.own.as_ref() != Some(server)
    }

    /// Returns the limits of a stranger that is addressed in this dialect.
    pub(super) fn limits(&self, server: &ServerName, dialect: DialectSpec) -> Arc<PeerLimits> {
        let matching = self.tables.matching(server);
        let is_usual = |(pattern, limits): &&(Option<usize>, Arc<PeerLimits>)| {
            pattern.as_slice() == matching && limits.dialect == dialect
        };
        match self.usual.iter().find(is_usual) {
            Some((_, limits)) => Arc::clone(limits),
            None => Arc::new(self.bounded(&self.tables.resolve(&matching).section.limits(), dialect)),
        }
    }

    /// Returns the limits with what holds for every stranger. Nobody has chosen it, so its word about others proves nothing.
    fn bounded(&self, limits: &PeerLimits, dialect: DialectSpec) -> PeerLimits {
        let rate = if limits.rate == 0 { self.bounds.rate } else { limits.rate.min(self.bounds.rate) };
        let accept_relayed = match limits.accept_relayed {
            RelayPolicy::Any => RelayPolicy::Signed,
            policy => policy,
        };
        PeerLimits { listing: PeerListing::Stranger, dialect, rate, accept_relayed, ..limits.clone() }
    }
}
