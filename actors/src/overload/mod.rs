//! Overload detection: measured here, checked at each admission, and published to the parts that wait for a change.
//!
//! ```text
//!   journal - bounds of the feed ---------> Overload ---> admission    wait, 429, 503
//!   disk ---- free space ----------------->    |     ---> contexts     the clock of a gap stands still
//!                                              +--------> readiness, and a notice in the feed, once per stop of intake
//! ```

pub mod watermarks;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::errors::AdmissionError;
use crate::limits::OverloadLimits;
use crate::model::CountedNoun;
pub use crate::overload::watermarks::Congestion;
use crate::overload::watermarks::Watermarks;
use crate::ports::{Disk, FeedBounds, Ports};

/// Time after which a peer should retry: a messenger that is so far behind needs more than a second to catch up.
const WAIT: Duration = Duration::from_secs(10);

/// Minimum interval between two measurements of the disk.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The overload state, usable from any thread.
pub struct OverloadMonitor {
    limits: OverloadLimits,
    disk: Arc<dyn Disk>,
    /// Bounds of the feed, read by each check, because the router looks at them only from time to time.
    bounds: watch::Receiver<FeedBounds>,
    measured: Mutex<LoadSample>,
    /// State that was last announced to the messenger, so that each stop of intake is announced once.
    told: Mutex<Congestion>,
    state: watch::Sender<Congestion>,
}

struct LoadSample {
    levels: Watermarks,
    /// Time of the last measurement of the disk. It is monotonic, because a wall clock that is set back would suppress
    /// measurements.
    disk: Option<Instant>,
}

impl OverloadMonitor {
    /// Returns a monitor that has measured once, so that its state is valid from the start.
    pub(crate) fn new(ports: &Ports) -> Self {
        let limits = ports.roster.overload();
        let overload = Self {
            limits,
            disk: ports.disk.clone(),
            bounds: ports.archive.feed.feed_bounds(),
            measured: Mutex::new(LoadSample { levels: Watermarks::new(limits), disk: None }),
            told: Mutex::default(),
            state: watch::Sender::default(),
        };
        overload.measure();
        overload
    }

    /// Returns the thresholds of overload.
    pub const fn limits(&self) -> OverloadLimits {
        self.limits
    }

    /// Returns a watch on the state; it changes when a limit is exceeded or no longer exceeded.
    pub fn subscribe(&self) -> watch::Receiver<Congestion> {
        self.state.subscribe()
    }

    /// Measures the unread events; and the disk, unless it was measured within the last second.
    pub fn measure(&self) {
        self.note(|measured| {
            // Read under the lock, so that of two threads none notes an older number over a newer one.
            measured.levels.unread(self.bounds.borrow().unread());
            if measured.disk.is_none_or(|last| last.elapsed() >= MEASURE_EVERY) {
                measured.disk = Some(Instant::now());
                // An unknown free space blocks nothing, because a commit that finds no space ends the process anyway.
                measured.levels.free(self.disk.free().unwrap_or(u64::MAX));
            }
        });
    }

    fn note(&self, note: impl FnOnce(&mut LoadSample)) {
        // The lock does not poison, which is safe: a panic leaves at most one level out of date, and the next measurement
        // corrects it.
        let mut measured = self.measured.lock();
        note(&mut measured);
        let now = measured.levels.now();
        let is_news =
            |was: &Congestion| (was.unread.is_some(), was.free.is_some()) != (now.unread.is_some(), now.free.is_some());
        self.state.send_if_modified(|was| is_news(&std::mem::replace(was, now)));
    }

    /// Checks that there is disk space for submitted items.
    pub(crate) fn check_disk_space(&self) -> Result<(), AdmissionError> {
        self.measure();
        match self.state.borrow().free {
            Some(free) => Err(AdmissionError::DiskLow { free, min_free: self.limits.min_free, wait: WAIT }),
            None => Ok(()),
        }
    }

    /// Checks that durable items of peers are accepted.
    pub(crate) fn check_inbound(&self) -> Result<(), AdmissionError> {
        self.check_disk_space()?;
        match self.state.borrow().unread {
            Some(_) => {
                Err(AdmissionError::LimitReached { limit: HIGH_WATER, value: self.limits.feed_high, wait: WAIT })
            }
            None => Ok(()),
        }
    }

    /// Returns whether items of peers are accepted.
    pub(crate) fn is_open(&self) -> bool {
        self.state.borrow().is_open()
    }

    /// Returns the notices for the messenger that the transition to `now` requires.
    pub(crate) fn take_transitions(&self, now: Congestion) -> Vec<String> {
        let mut told = self.told.lock();
        let was = std::mem::replace(&mut *told, now);
        let OverloadLimits { feed_low, min_free, .. } = self.limits;
        if was.free.is_some() && now.free.is_none() {
            tracing::info!(min_free = %ByteSize(min_free), "free space exceeds store.min_free again; requests are \
                accepted");
        }
        if was.unread.is_some() && now.unread.is_none() {
            tracing::info!(feed_low, "the messenger has caught up (feed.low_water); items of peers are accepted");
        }
        let news = Congestion {
            unread: now.unread.filter(|_| was.unread.is_none()),
            free: now.free.filter(|_| was.free.is_none()),
        };
        self.describe(news).into_iter().map(|(_, words)| words).collect()
    }

    /// Describes each condition that blocks requests, with its name.
    pub fn describe(&self, now: Congestion) -> Vec<(&'static str, String)> {
        let OverloadLimits { feed_high, feed_low, min_free } = self.limits;
        let feed = now.unread.map(|unread| {
            let words = format!(
                "{} {} not acknowledged, and {HIGH_WATER} is {feed_high}: peers are told to wait until fewer than \
                 feed.low_water ({feed_low}) are left; read and acknowledge the events",
                CountedNoun(unread, "event"),
                if unread == 1 { "is" } else { "are" }
            );
            ("feed", words)
        });
        let disk = now.free.map(|free| {
            let words = format!(
                "the disk of server.data_dir has {} ({free} bytes) free, and store.min_free is {} ({min_free} bytes): \
                 requests are rejected until free space exceeds store.min_free by 12.5 %; free some space",
                ByteSize(free),
                ByteSize(min_free)
            );
            ("disk", words)
        });
        feed.into_iter().chain(disk).collect()
    }
}

/// Configuration key of the number of unread events from which peers are told to wait.
pub(crate) const HIGH_WATER: &str = "feed.high_water";
