//! Resolves names and checks every address; connections are made only to addresses that passed.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::client::Addresses;
use super::guard::is_special;
use super::lookups;

/// A resolver that returns only permitted addresses. Literal addresses do not pass through it, because an operator
/// configured them.
pub(super) struct Checked {
    directory: Arc<dyn Addresses>,
}

impl Checked {
    pub(super) fn new(directory: Arc<dyn Addresses>) -> Self {
        Self { directory }
    }
}

/// Error: all addresses of a name are forbidden. A name under foreign control may point to the internal network.
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
            let passed = permitted(&*directory, name.as_str(), 0).await?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

/// Returns the permitted addresses of a name.
pub(super) async fn permitted(
    directory: &dyn Addresses,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let found = lookups::of(name, port).await?;
    let is_permitted =
        |address: &&SocketAddr| !is_special(address.ip()) || directory.allows(address.ip().to_canonical());
    let passed: Vec<SocketAddr> = found.iter().filter(is_permitted).copied().collect();
    if passed.is_empty() {
        let found = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Forbidden { name: name.to_owned(), found }.into());
    }
    Ok(passed)
}
