//! The rate of requests by address, of callers that name no listed peer.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use actors::model::Millis;
use actors::peer::rate_limit::TokenBucket;
use lru::LruCache;
use parking_lot::Mutex;

/// Maximum number of addresses that are remembered; the one that was not seen for longest is forgotten.
const ADDRESSES_MAX: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is not 0");

/// Bits of an IPv6 address that one customer of a provider cannot choose.
const SUBNET_MASK: u128 = u128::MAX << 64;

/// The rate of requests by address.
pub(super) struct AddressRates(Mutex<LruCache<IpAddr, TokenBucket>>);

impl Default for AddressRates {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ADDRESSES_MAX)))
    }
}

impl AddressRates {
    /// Takes a token of an address, or returns the time until there is one. Callers without an address share one.
    pub(super) fn take(&self, address: Option<IpAddr>, rate: u32, now: Millis) -> Result<(), Duration> {
        let address = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & SUBNET_MASK)),
            Some(address) => address,
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut buckets = self.0.lock();
        let bucket = buckets.get_or_insert_mut(address, || TokenBucket::new(rate, 1, now));
        bucket.change(rate, 1, now);
        bucket.take(now, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rates: &AddressRates, address: &str) -> bool {
        rates.take(Some(address.parse().expect("an address")), 1, Millis(0)).is_ok()
    }

    #[test]
    fn addresses_of_one_customer_share_rate() {
        let rates = AddressRates::default();
        assert!(take(&rates, "2001:db8:1:2::1") && !take(&rates, "2001:db8:1:2:ffff::9"));
        assert!(take(&rates, "2001:db8:1:3::1"));
        assert!(take(&rates, "10.0.0.1") && !take(&rates, "::ffff:10.0.0.1") && take(&rates, "10.0.0.2"));
        assert!(rates.take(None, 1, Millis(0)).is_ok() && rates.take(None, 1, Millis(500)).is_err());
        assert!(rates.take(None, 1, Millis(1_000)).is_ok());
    }
}
