//! Resolves names and checks every address; connections are made only to addresses that passed.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Host;

use crate::egress::address_book::AddressBook;
use crate::egress::address_filter::is_non_public;
use crate::egress::dns;
use crate::egress::error_words::in_words;

/// A resolver that returns only permitted addresses. Literal addresses do not pass through it, because an operator
/// configured them.
pub(super) struct FilteringResolver {
    directory: Arc<dyn AddressBook>,
}

impl FilteringResolver {
    pub(super) fn new(directory: Arc<dyn AddressBook>) -> Self {
        Self { directory }
    }
}

/// Error: all addresses of a name are forbidden. A name under foreign control may point to the internal network.
#[derive(Debug, thiserror::Error)]
#[error("{name} resolves to {found}, which network.allow does not hold")]
struct ForbiddenAddress {
    name: String,
    found: String,
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let directory = Arc::clone(&self.directory);
        Box::pin(async move {
            let passed = permitted(&*directory, name.as_str(), 0).await?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

/// Resolves the host of a URL. Literal addresses are permitted, because an operator configured them.
pub(super) async fn addresses_of(directory: &dyn AddressBook, url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().unwrap_or_default();
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => Ok(vec![(ip, port).into()]),
        Some(Host::Domain(name)) => permitted(directory, name, port).await.map_err(|error| in_words(&*error)),
        None => Err("it names no host".to_owned()),
    }
}

/// Returns the permitted addresses of a name.
async fn permitted(
    directory: &dyn AddressBook,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let found = dns::resolve(name, port).await?;
    let is_permitted =
        |address: &&SocketAddr| !is_non_public(address.ip()) || directory.allows(address.ip().to_canonical());
    let passed: Vec<SocketAddr> = found.iter().filter(is_permitted).copied().collect();
    if passed.is_empty() {
        let found = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
        return Err(ForbiddenAddress { name: name.to_owned(), found }.into());
    }
    Ok(passed)
}
