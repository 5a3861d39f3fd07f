//! The limits of comparisons of histories with peers.

use std::time::Duration;

/// The limits of comparisons of histories: `fernpost context verify`, the nightly run, and comparisons that peers ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyLimits {
    /// Length of the window that is compared, unless a command names another one; `None`: the whole history.
    pub window: Option<Duration>,
    /// Age from which PDUs are compared: younger ones may be under way.
    pub settle: Duration,
    /// Maximum number of PDUs that are compared; if the window has more, it begins later.
    pub pdus_max: u32,
    /// Maximum number of calls of one comparison.
    pub calls_max: u32,
    /// Maximum number of ranges in one call.
    pub ranges_max: u32,
    /// Maximum number of ids in one answer, and in each list of a result.
    pub ids_max: u32,
    /// Maximum number of PDUs that one comparison has fetched.
    pub repair_max: u32,
    /// Maximum number of comparisons under way: those of peers, and ours, each by itself.
    pub sets_max: u32,
    /// Maximum time of a comparison with its repair.
    pub timeout: Duration,
    /// The nightly run.
    pub nightly: NightlyRules,
}

/// The rules of the nightly run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NightlyRules {
    /// True if it is on.
    pub is_on: bool,
    /// Time of day (UTC) at which it begins, since midnight.
    pub at: Duration,
    /// Maximum time by which the begin is moved at random, so that servers do not all begin at once.
    pub jitter: Duration,
    /// Maximum length of a run.
    pub length: Duration,
    /// Maximum number of contexts in one night; the next night continues after the last one.
    pub contexts_max: u32,
}

impl Default for VerifyLimits {
    fn default() -> Self {
        Self {
            window: Some(Duration::from_secs(30 * 86_400)),
            settle: Duration::from_secs(5 * 60),
            pdus_max: 100_000,
            calls_max: 64,
            ranges_max: 64,
            ids_max: 1000,
            repair_max: 1000,
            sets_max: 4,
            timeout: Duration::from_secs(45),
            nightly: NightlyRules {
                is_on: false,
                at: Duration::from_secs(3 * 3600),
                jitter: Duration::from_secs(3600),
                length: Duration::from_secs(3 * 3600),
                contexts_max: 1000,
            },
        }
    }
}
