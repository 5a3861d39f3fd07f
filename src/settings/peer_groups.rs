//! The groups of a peer that are contexts here, as the configuration names them.

use std::collections::BTreeMap;

use actors::limits::PeerGroups;
use actors::model::{ContextId, GroupId};

use crate::settings::check::SettingsCheck;
use crate::settings::sections::peer::PeerSection;

/// Returns the mapping of a peer, which is written under `key`. Invalid entries are reported. `is_of_server`: the table of
/// the server itself has it.
pub(super) fn groups(
    section: &PeerSection,
    is_of_server: bool,
    key: &[&str],
    check: &mut SettingsCheck<'_>,
) -> PeerGroups {
    if !section.groups.is_empty() && !is_of_server {
        check.invalid(key, "a group is that of one server; set it under [peers.server.\"NAME\".groups]");
    }
    if !section.groups.is_empty() && !section.dialect.0.carries_updates {
        check.invalid(key, "a peer whose dialect is \"transactions\" has contexts and no groups; remove it");
    }
    let mut groups: BTreeMap<GroupId, ContextId> = BTreeMap::new();
    for (id, context) in &section.groups {
        let (group, name) = (id.parse().map(GroupId), context.parse::<ContextId>());
        match (group, name) {
            (Err(_), _) => check.invalid(key, format!("\"{id}\" is no id of a group; an id is an integer")),
            (_, Err(why)) => check.invalid(key, format!("\"{context}\" is no context: {why}")),
            (Ok(_), Ok(name)) if groups.values().any(|other| *other == name) => {
                check.invalid(key, format!("two groups are mapped to \"{name}\"; a context is one group of a peer"));
            }
            (Ok(group), Ok(name)) => drop(groups.insert(group, name)),
        }
    }
    PeerGroups::new(groups)
}
