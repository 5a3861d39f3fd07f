//! Looks up names: the addresses of hosts, and the hosts that offer a service.
//!
//! ```text
//! NameResolver --> AnswerCache      lifetimes within bounds, the last good answer
//!       |
//!       +--------> NameServers      one question to the name servers in order
//!       |             +--> AliasWalk   aliases followed from answer to answer
//!       +--------> SystemNames      /etc/hosts and /etc/resolv.conf, unless `network.resolvers` is set
//! ```
//!
//! hickory writes, sends and reads the messages. Its own cache and its own following of aliases are not used, because they
//! neither keep an answer beyond its lifetime nor tell a loop from a missing record.

mod alias_walk;
mod answer_cache;
mod dns_answer;
mod name_servers;
mod resolver;
mod service_order;
mod system_names;

pub(crate) use alias_walk::read_response_bytes;
pub(crate) use dns_answer::ServiceRecord;
#[cfg(test)]
pub(crate) use resolver::FoundAddresses;
pub(crate) use resolver::{FoundServices, NameResolver};
pub(crate) use service_order::in_order;

pub use resolver::ResolverOptions;

#[cfg(test)]
mod tests;
