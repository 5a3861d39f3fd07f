//! Names to addresses, every one of them checked; a connection is only ever made to an address that passed.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::client::Addresses;
use super::guard::is_special;

/// A resolver that hands out nothing but permitted addresses. Literal addresses never come here: they stand in the
/// configuration, where somebody wrote them on purpose.
pub(super) struct Checked {
    directory: Arc<dyn Addresses>,
}

impl Checked {
    pub(super) fn new(directory: Arc<dyn Addresses>) -> Self {
        Self { directory }
    }
}

/// A name whose every address is forbidden, which is what a name under a stranger's control may do to reach our inside.
#[derive(Debug, thiserror::Error)]
#[error("{name} resolves to {found}, which network.allow does not hold")]
struct Forbidden {
    name: String,
    found: String,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let directory = Arc::clone(&self.directory);
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let permitted =
                |address: &&SocketAddr| !is_special(address.ip()) || directory.allows(address.ip().to_canonical());
            let passed: Vec<SocketAddr> = found.iter().filter(permitted).copied().collect();
            if passed.is_empty() {
                let found = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
                return Err(Forbidden { name, found }.into());
            }
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}
