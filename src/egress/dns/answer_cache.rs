//! Answers of name servers, kept for their lifetime, and the last good one beyond it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dns_answer::{DnsAnswer, DnsFailure, FoundRecord, RecordKind};

/// Maximum number of answers. A peer needs three; beyond the maximum those that end first are dropped.
const ANSWERS_MAX: usize = 30_000;

/// The bounds of lifetimes.
#[derive(Debug, Clone, Copy)]
pub(super) struct LifetimeBounds {
    pub(super) ttl_min: Duration,
    pub(super) ttl_max: Duration,
    /// Lifetime of failures and of the answer that there is no such record.
    pub(super) failure: Duration,
}

/// An answer as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownAnswer {
    /// Records; `None` if there are none.
    pub(super) records: Option<Arc<[FoundRecord]>>,
    /// True if the lifetime has passed, and the name servers gave no usable answer since.
    pub(super) stale: bool,
}

#[derive(Debug)]
struct CachedAnswer {
    outcome: Result<DnsAnswer, DnsFailure>,
    until: Instant,
    /// Records of the newest usable answer. They are used after a failure, and forgotten once the name servers state that there are
    /// none any more.
    last_good: Option<Arc<[FoundRecord]>>,
}

/// The answers by name and kind of record.
#[derive(Debug, Default)]
pub(super) struct AnswerCache {
    answers: HashMap<(String, RecordKind), CachedAnswer>,
}

impl CachedAnswer {
    fn known(&self) -> Result<KnownAnswer, DnsFailure> {
        match (&self.outcome, &self.last_good) {
            (Ok(DnsAnswer::Records(records, _)), _) => {
                Ok(KnownAnswer { records: Some(Arc::clone(records)), stale: false })
            }
            (Ok(DnsAnswer::Absent), _) => Ok(KnownAnswer { records: None, stale: false }),
            (Err(_), Some(records)) => Ok(KnownAnswer { records: Some(Arc::clone(records)), stale: true }),
            (Err(failure), None) => Err(failure.clone()),
        }
    }
}

impl AnswerCache {
    /// Returns the answer to a question if its lifetime has not passed.
    pub(super) fn get(&self, name: &str, kind: RecordKind, now: Instant) -> Option<Result<KnownAnswer, DnsFailure>> {
        // The key owns its text, so a borrowed look-up needs an owned key; names are short, and a look-up of DNS is rare.
        let answer = self.answers.get(&(name.to_owned(), kind))?;
        (now < answer.until).then(|| answer.known())
    }

    /// Keeps the outcome of a question, and returns the answer to use.
    pub(super) fn keep(
        &mut self,
        (name, kind): (&str, RecordKind),
        outcome: Result<DnsAnswer, DnsFailure>,
        bounds: LifetimeBounds,
        now: Instant,
    ) -> Result<KnownAnswer, DnsFailure> {
        let key = (name.to_owned(), kind);
        let last_good = match &outcome {
            Ok(DnsAnswer::Records(records, _)) => Some(Arc::clone(records)),
            Ok(DnsAnswer::Absent) => None,
            Err(_) => self.answers.remove(&key).and_then(|before| before.last_good),
        };
        let lifetime = match &outcome {
            Ok(DnsAnswer::Records(_, ttl)) => (*ttl).clamp(bounds.ttl_min, bounds.ttl_max.max(bounds.ttl_min)),
            Ok(DnsAnswer::Absent) | Err(_) => bounds.failure,
        };
        let answer = CachedAnswer { outcome, until: now + lifetime, last_good };
        let known = answer.known();
        if self.answers.len() >= ANSWERS_MAX && !self.answers.contains_key(&key) {
            self.make_room();
        }
        self.answers.insert(key, answer);
        known
    }

    /// Drops the half that ends first, so that the search for it is rare.
    fn make_room(&mut self) {
        let mut ends: Vec<Instant> = self.answers.values().map(|answer| answer.until).collect();
        let middle = ends.len() / 2;
        let (_, middle, _) = ends.select_nth_unstable(middle);
        let middle = *middle;
        self.answers.retain(|_, answer| answer.until > middle);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const BOUNDS: LifetimeBounds = LifetimeBounds {
        ttl_min: Duration::from_secs(30),
        ttl_max: Duration::from_secs(3600),
        failure: Duration::from_secs(30),
    };
    const BLUE: (&str, RecordKind) = ("blue.example", RecordKind::Ipv4);

    fn records(last: u8, ttl: u64) -> Result<DnsAnswer, DnsFailure> {
        let records = [FoundRecord::Address(IpAddr::from([192, 0, 2, last]))];
        Ok(DnsAnswer::Records(records.into(), Duration::from_secs(ttl)))
    }

    fn failed() -> Result<DnsAnswer, DnsFailure> {
        Err(DnsFailure("SERVFAIL".to_owned()))
    }

    fn shown(answer: Option<Result<KnownAnswer, DnsFailure>>) -> String {
        match answer {
            None => "unknown".to_owned(),
            Some(Err(failure)) => failure.to_string(),
            Some(Ok(KnownAnswer { records: None, .. })) => "absent".to_owned(),
            Some(Ok(KnownAnswer { records: Some(records), stale })) => {
                format!("{records:?}{}", if stale { " stale" } else { "" })
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lifetime_is_held_within_bounds() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (ttl, lifetime) in [(0, 30), (29, 30), (300, 300), (u64::from(u32::MAX), 3600)] {
            let mut cache = AnswerCache::default();
            assert!(cache.keep(BLUE, records(1, ttl), BOUNDS, start).is_ok());
            assert!(cache.get(BLUE.0, BLUE.1, at(lifetime - 1)).is_some(), "{ttl}");
            assert!(cache.get(BLUE.0, BLUE.1, at(lifetime)).is_none(), "{ttl}");
            assert!(cache.get(BLUE.0, RecordKind::Ipv6, start).is_none(), "another question");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn last_good_answer_outlives_failures_only() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut cache = AnswerCache::default();
        let mut keep = |outcome, seconds| shown(Some(cache.keep(BLUE, outcome, BOUNDS, at(seconds))));
        assert_eq!(keep(failed(), 0), "SERVFAIL");
        assert_eq!(keep(records(1, 60), 30), "[Address(192.0.2.1)]");
        assert_eq!(keep(failed(), 90), "[Address(192.0.2.1)] stale");
        assert_eq!(keep(failed(), 100_000), "[Address(192.0.2.1)] stale", "as long as the process runs");
        assert_eq!(keep(records(2, 60), 100_030), "[Address(192.0.2.2)]");
        assert_eq!(keep(Ok(DnsAnswer::Absent), 100_090), "absent");
        assert_eq!(keep(failed(), 100_120), "SERVFAIL", "the name servers have stated that there is none");
        assert_eq!(shown(cache.get(BLUE.0, BLUE.1, at(100_149))), "SERVFAIL", "a failure is remembered");
        assert_eq!(shown(cache.get(BLUE.0, BLUE.1, at(100_150))), "unknown");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_bounded() {
        let start = Instant::now();
        let mut cache = AnswerCache::default();
        for n in 0..=ANSWERS_MAX as u64 {
            let name = format!("{n}.example");
            cache.keep((&name, RecordKind::Ipv4), records(1, 60), BOUNDS, start + Duration::from_millis(n)).ok();
        }
        assert!(cache.answers.len() <= ANSWERS_MAX / 2 + 1, "{}", cache.answers.len());
        let newest = format!("{ANSWERS_MAX}.example");
        assert!(cache.get(&newest, RecordKind::Ipv4, start + Duration::from_secs(59)).is_some());
    }
}
