//! Lists in the messenger's bodies: server names, and values as texts, both limited while they are read.

use std::collections::HashSet;

use actors::model::ServerName;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A list of server names without repeats.
pub(super) struct NameList(pub(super) Vec<ServerName>);

impl<'de> Deserialize<'de> for NameList {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct ListVisitor;

        impl<'de> Visitor<'de> for ListVisitor {
            type Value = NameList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NameList, A::Error> {
                let (mut names, mut seen) = (Vec::new(), HashSet::new());
                while let Some(text) = list.next_element::<String>()? {
                    let name: ServerName = text.parse().map_err(|why| A::Error::custom(format!("{text:?}: {why}")))?;
                    if seen.insert(name.clone()) {
                        names.push(name);
                    }
                }
                Ok(NameList(names))
            }
        }

        source.deserialize_seq(ListVisitor)
    }
}

/// The first `MAX` elements of a list, and the number of all elements. The limit keeps a body of many tiny elements
/// from taking many times its size in memory.
pub(super) struct RawList<'a, const MAX: usize> {
    /// The first elements, each as its text.
    pub(super) first: Vec<&'a RawValue>,
    /// Number of all elements.
    pub(super) count: usize,
}

impl<'de, const MAX: usize> Deserialize<'de> for RawList<'de, MAX> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct BoundedListVisitor<const MAX: usize>;

        impl<'de, const MAX: usize> Visitor<'de> for BoundedListVisitor<MAX> {
            type Value = RawList<'de, MAX>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut first = Vec::new();
                while first.len() < MAX {
                    let Some(text) = list.next_element()? else { break };
                    first.push(text);
                }
                let mut count = first.len();
                while let Some(IgnoredAny) = list.next_element()? {
                    count += 1;
                }
                Ok(RawList { first, count })
            }
        }

        source.deserialize_seq(BoundedListVisitor::<MAX>)
    }
}
