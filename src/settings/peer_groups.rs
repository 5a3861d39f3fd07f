//! The groups of a peer that are contexts here, as the configuration names them.

use std::collections::BTreeMap;

use actors::limits::PeerGroups;
use actors::model::{ContextId, GroupId};

use crate::settings::check::SettingsCheck;
use crate::settings::resolve::{ResolvedPeer, ValueOrigin};

/// Returns the mapping of a peer. Invalid entries are reported.
pub(super) fn groups(resolved: &ResolvedPeer, check: &mut SettingsCheck<'_>) -> PeerGroups {
    let key = resolved.key("groups");
    let section = &resolved.section;
    if !section.groups.is_empty() && *resolved.origin("groups") != ValueOrigin::Server {
        check.invalid(&key, "a group is that of one server; set it under [peers.server.\"NAME\".groups]");
    }
    if !section.groups.is_empty() && !section.dialect.0.carries_updates {
        check.invalid(&key, "a peer whose dialect is \"transactions\" has contexts and no groups; remove it");
    }
    let mut groups: BTreeMap<GroupId, ContextId> = BTreeMap::new();
    for (id, context) in &section.groups {
        let (group, name) = (id.parse().map(GroupId), context.parse::<ContextId>());
        match (group, name) {
            (Err(_), _) => check.invalid(&key, format!("\"{id}\" is no id of a group; an id is an integer")),
            (_, Err(why)) => check.invalid(&key, format!("\"{context}\" is no context: {why}")),
            (Ok(_), Ok(name)) if groups.values().any(|other| *other == name) => {
                check.invalid(&key, format!("two groups are mapped to \"{name}\"; a context is one group of a peer"));
            }
            (Ok(group), Ok(name)) => drop(groups.insert(group, name)),
        }
    }
    PeerGroups::new(groups)
}
