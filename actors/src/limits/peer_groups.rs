//! The mapping between the groups of peers, which know messages but no PDUs, and contexts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ContextId, GroupId, ServerName};

/// The groups of one peer that are contexts here. No two of them are the same context.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerGroups(Arc<BTreeMap<GroupId, ContextId>>);

impl PeerGroups {
    /// Returns this mapping.
    pub fn new(groups: BTreeMap<GroupId, ContextId>) -> Self {
        Self(Arc::new(groups))
    }

    /// Returns whether no group is mapped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the context of a group; `None` if it is not mapped.
    pub fn context(&self, group: GroupId) -> Option<&ContextId> {
        self.0.get(&group)
    }

    /// Returns the groups with their contexts, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &ContextId)> {
        self.0.iter().map(|(group, context)| (*group, context))
    }
}

/// The servers for which contexts are groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextGroups(Arc<BTreeMap<ContextId, Vec<(ServerName, GroupId)>>>);

impl ContextGroups {
    /// Returns the mapping of these peers.
    pub fn of_peers<'a>(peers: impl Iterator<Item = (&'a ServerName, &'a PeerGroups)>) -> Self {
        let mut contexts: BTreeMap<ContextId, Vec<(ServerName, GroupId)>> = BTreeMap::new();
        for (server, groups) in peers {
            for (group, context) in groups.iter() {
                contexts.entry(context.clone()).or_default().push((server.clone(), group));
            }
        }
        Self(Arc::new(contexts))
    }

    /// Returns whether no context is a group of anybody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the contexts that are groups, each with the servers for which it is one.
    pub fn iter(&self) -> impl Iterator<Item = (&ContextId, &[(ServerName, GroupId)])> {
        self.0.iter().map(|(context, servers)| (context, servers.as_slice()))
    }

    /// Returns the servers for which this context is a group, each with the id of the group.
    pub fn of_context(&self, context: &ContextId) -> &[(ServerName, GroupId)] {
        self.0.get(context).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_lists_its_groups() {
        let context = |name: &str| name.parse::<ContextId>().expect("valid");
        let (gold, silver) = ("gold".parse().expect("valid"), "silver".parse().expect("valid"));
        let map = |groups: &[(i64, &str)]| {
            PeerGroups::new(groups.iter().map(|(id, name)| (GroupId(*id), context(name))).collect())
        };
        let (of_gold, of_silver) = (map(&[(7, "#garden"), (-8, "#park")]), map(&[(1, "#garden")]));
        assert_eq!((of_gold.context(GroupId(-8)), of_gold.context(GroupId(8))), (Some(&context("#park")), None));
        assert!(PeerGroups::default().is_empty() && !of_gold.is_empty());
        let groups = ContextGroups::of_peers([(&gold, &of_gold), (&silver, &of_silver)].into_iter());
        assert_eq!(groups.of_context(&context("#garden")), [(gold.clone(), GroupId(7)), (silver, GroupId(1))]);
        assert_eq!(groups.of_context(&context("#park")), [(gold, GroupId(-8))]);
        assert_eq!(groups.of_context(&context("#sea")), []);
    }
}
