//! The memory about strangers, and the bounds on all of them together.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actors::errors::AdmissionError;
use actors::limits::PeerLimits;
use actors::model::{DialectSpec, Millis, ServerName};
use actors::peer::rate_limit::TokenBucket;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::app::strangers::address_rates::AddressRates;
use crate::app::strangers::row_estimate::StrangersRows;
use crate::http::error::ApiError;
use crate::identity::origin_keys::NoKeysError;
use crate::settings::{PeerTable, StrangersSettings};
use crate::telemetry::limit_counts::LimitCounts;
use crate::wire::DIALECTS;

/// Configuration key of the bound on requests of an address.
const RATE_PER_ADDRESS: &str = "federation.strangers.rate_per_address";

/// Configuration key of the bound on proofs.
const PROOFS_PER_SECOND: &str = "federation.strangers.proofs_per_second";

/// The state of all strangers, which a changed configuration does not touch.
pub(in crate::app) struct StrangersBook {
    /// Dialect of each stranger that has sent something.
    dialects: Mutex<HashMap<ServerName, DialectSpec>>,
    pub(super) rows: StrangersRows,
    addresses: AddressRates,
    /// Bucket of the proofs; `None` before the first.
    proofs: Mutex<Option<TokenBucket>>,
    began: Instant,
    counts: LimitCounts,
}

impl StrangersBook {
    /// Returns the book of a gateway that knows no stranger yet. Refusals are counted here.
    pub(in crate::app) fn new(counts: LimitCounts) -> Self {
        let (dialects, rows, addresses, proofs) = Default::default();
        Self { dialects, rows, addresses, proofs, began: Instant::now(), counts }
    }

    /// Remembers the dialects of strangers that the store keeps.
    pub(in crate::app) fn remember(&self, stored: Vec<(ServerName, String)>) {
        let spec = |name: &str| DIALECTS.named(name).map(|dialect| dialect.spec());
        let known = stored.into_iter().filter_map(|(server, name)| Some((server, spec(&name)?)));
        self.dialects.lock().extend(known);
    }

    /// Remembers the dialect of the first request of a stranger that has proved its name.
    pub(in crate::app) fn note_dialect(&self, bounds: StrangersSettings, server: &ServerName, dialect: DialectSpec) {
        let mut dialects = self.dialects.lock();
        // Each stranger that sends something has a row, so more of them are refused later.
        if !dialects.contains_key(server) && (dialects.len() as u64) < bounds.rows_max {
            dialects.insert(server.clone(), dialect);
        }
    }

    /// Returns the dialect in which a stranger is addressed.
    pub(in crate::app) fn dialect(&self, server: &ServerName) -> DialectSpec {
        self.dialects.lock().get(server).copied().unwrap_or(DialectSpec::UPDATES)
    }

    /// Returns the limits of a stranger; `None`: it is none.
    pub(in crate::app) fn limits(&self, table: &PeerTable, server: &ServerName) -> Option<Arc<PeerLimits>> {
        table.is_open().then(|| table.stranger_limits(server, self.dialect(server))).flatten()
    }

    /// Admits a request that names no listed peer, before its proof is looked at.
    pub(in crate::app) fn admit_request(
        &self,
        bounds: StrangersSettings,
        address: Option<IpAddr>,
    ) -> Result<(), ApiError> {
        let rate = bounds.rate_per_address;
        self.addresses.take(address, rate, self.now()).map_err(|wait| {
            let words = format!("{RATE_PER_ADDRESS} is reached ({rate} requests per second that name no listed peer)");
            self.counts.count(RATE_PER_ADDRESS);
            Self::refused("STRANGERS_RATE", words, wait)
        })
    }

    /// Admits a proof of a stranger that costs a fetch or the verification of a chain.
    pub(in crate::app) fn admit_proof(&self, bounds: StrangersSettings) -> Result<(), ApiError> {
        let rate = bounds.proofs_per_second;
        self.take_proof(rate).map_err(|wait| {
            let words = format!("{PROOFS_PER_SECOND} is reached ({rate}, in all)");
            Self::refused("STRANGERS_PROOFS", words, wait)
        })
    }

    /// Admits the fetch of a stranger's key directory.
    pub(in crate::app) fn admit_fetch(&self, bounds: StrangersSettings) -> Result<(), NoKeysError> {
        let rate = bounds.proofs_per_second;
        let refused = |wait| NoKeysError::TooMany { limit: PROOFS_PER_SECOND, value: rate.into(), wait };
        self.take_proof(rate).map_err(refused)
    }

    fn take_proof(&self, rate: u32) -> Result<(), Duration> {
        let now = self.now();
        let mut proofs = self.proofs.lock();
        let proofs = proofs.get_or_insert_with(|| TokenBucket::new(rate, 1, now));
        proofs.change(rate, 1, now);
        proofs.take(now, 1).inspect_err(|_| self.counts.count(PROOFS_PER_SECOND))
    }

    /// Admits a batch with this many items of a stranger.
    pub(in crate::app) fn admit_rows(&self, bounds: StrangersSettings, items: usize) -> Result<(), AdmissionError> {
        self.rows.admit(bounds.rows_max, items)
    }

    fn refused(code: &'static str, words: String, wait: Duration) -> ApiError {
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, words).retry_after(wait)
    }

    /// Returns the time since the start, for the buckets.
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: StrangersSettings =
        StrangersSettings { resident_max: 1, rows_max: 10, rate: 1, rate_per_address: 2, proofs_per_second: 3 };

    fn name(text: &str) -> ServerName {
        text.parse().expect("a name")
    }

    #[tokio::test(start_paused = true)]
    async fn stranger_bounds_are_counted_by_name() {
        let counts = LimitCounts::default();
        let book = StrangersBook::new(counts.clone());
        let address = "10.0.0.1".parse().ok();
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!((0..2).all(|_| book.admit_request(BOUNDS, address).is_ok()));
        let refusal = book.admit_request(BOUNDS, address).expect_err("the third within a second");
        assert_eq!((refusal.status().as_u16(), refusal.code()), (429, "STRANGERS_RATE"));
        assert!(book.admit_request(BOUNDS, "10.0.0.2".parse().ok()).is_ok(), "another address");
        assert!((0..3).all(|_| book.admit_proof(BOUNDS).is_ok()));
        let refusal = book.admit_proof(BOUNDS).expect_err("the fourth within a second");
        assert_eq!((refusal.status().as_u16(), refusal.code()), (429, "STRANGERS_PROOFS"));
        assert_eq!(counts.counts(), [(PROOFS_PER_SECOND, 1), (RATE_PER_ADDRESS, 1)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(book.admit_request(BOUNDS, address).is_ok() && book.admit_proof(BOUNDS).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn first_dialect_of_stranger_stays() {
        let book = StrangersBook::new(LimitCounts::default());
        assert_eq!(book.dialect(&name("green.example")), DialectSpec::UPDATES);
        book.note_dialect(BOUNDS, &name("green.example"), DialectSpec::TRANSACTIONS);
        book.note_dialect(BOUNDS, &name("green.example"), DialectSpec::UPDATES);
        assert_eq!(book.dialect(&name("green.example")), DialectSpec::TRANSACTIONS);
        book.remember(vec![
            (name("pink.example"), "transactions".to_owned()),
            (name("grey.example"), "of later".to_owned()),
        ]);
        assert_eq!(book.dialect(&name("pink.example")), DialectSpec::TRANSACTIONS);
        assert_eq!(book.dialect(&name("grey.example")), DialectSpec::UPDATES);
    }
}
