//! Lists in the messenger's bodies: server names, and values as texts, both limited while they are read.

use std::collections::HashSet;

use actors::model::ServerName;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Number of names that are compared one by one: most lists have one, and a set for it would cost as much as the rest of the list.
const COMPARED_MAX: usize = 8;

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
                    if names.len() == COMPARED_MAX {
                        seen.extend(names.iter().cloned());
                    }
                    let is_new =
                        if names.len() < COMPARED_MAX { !names.contains(&name) } else { seen.insert(name.clone()) };
                    if is_new {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_list_has_no_repeats() {
        let name = |number: usize| format!("s{}.example", number % 20);
        let text = serde_json::to_string(&(0..60).map(name).collect::<Vec<_>>()).expect("texts");
        let NameList(names) = serde_json::from_str(&text).expect("names");
        let expected: Vec<ServerName> = (0..20).map(|number| name(number).parse().expect("valid")).collect();
        assert_eq!(names, expected);
    }
}
