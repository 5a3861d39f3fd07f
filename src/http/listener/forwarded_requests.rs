//! The requests under way that trusted proxies forward, limited by the address that they state: connections of a proxy carry many
//! callers, so these are not limited by connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use parking_lot::Mutex;

use crate::http::error::ApiError;
use crate::http::listener::connection_table::ConnectionRefusal;
use crate::telemetry::limit_counts::LimitCounts;

/// The requests under way. Clones share them.
#[derive(Debug, Clone)]
pub struct ForwardedRequests {
    most: usize,
    counts: LimitCounts,
    under_way: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One request under way, until this is dropped.
#[derive(Debug)]
pub struct ForwardedRequest {
    all: ForwardedRequests,
    address: IpAddr,
}

impl ForwardedRequests {
    /// Returns a limit of this many requests of one address; refusals are counted.
    pub fn new(most: usize, counts: LimitCounts) -> Self {
        Self { most, counts, under_way: Arc::default() }
    }

    /// Counts a request of this address, or refuses it.
    pub fn enter(&self, address: IpAddr) -> Result<ForwardedRequest, ApiError> {
        let mut under_way = self.under_way.lock();
        let count = under_way.entry(address).or_default();
        if *count < self.most {
            *count += 1;
            return Ok(ForwardedRequest { all: self.clone(), address });
        }
        let limit = ConnectionRefusal::PerAddress.limit();
        self.counts.count(limit);
        let words = format!("{limit} is reached: {address} has {} requests under way", self.most);
        Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_CONNECTIONS", words))
    }
}

impl Drop for ForwardedRequest {
    fn drop(&mut self) {
        let mut under_way = self.all.under_way.lock();
        if let Some(count) = under_way.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_requests_are_limited_by_address() {
        let counts = LimitCounts::default();
        let all = ForwardedRequests::new(2, counts.clone());
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().expect("an address"));
        let held = [all.enter(one).expect("room"), all.enter(one).expect("room")];
        let refusal = all.enter(one).expect_err("one more");
        assert_eq!((refusal.status().as_u16(), refusal.code()), (429, "TOO_MANY_CONNECTIONS"));
        assert!(all.enter(other).is_ok());
        drop(held);
        assert!(all.enter(one).is_ok() && all.under_way.lock().is_empty());
        assert_eq!(counts.counts(), [("federation.connections_per_address", 1)]);
    }
}
