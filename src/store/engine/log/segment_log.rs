//! The log that is written: appends the records of groups to segments, and uses a segment again once a checkpoint holds all
//! its groups.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::engine::log::log_backend::{LogBackend, LogSegment};
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::log_record::{LogIdentity, RecordBuilder, SECTOR};

/// Bytes of a segment, unless the log as a whole is small. A checkpoint holds 8 MiB by default, so a few segments go round; each costs
/// its zeros once.
const SEGMENT_BYTES: u64 = 4 << 20;

/// Bytes of a segment of the smallest log.
const SEGMENT_BYTES_MIN: u64 = 4096;

/// Minimum number of segments in a log of its largest size.
const SEGMENTS_MIN: u64 = 8;

/// Segments that are kept for later although no group is in them; more are removed.
const SPARE_MAX: usize = 16;

fn segment_bytes(log_max: u64) -> u64 {
    SEGMENT_BYTES.min(log_max / SEGMENTS_MIN).max(SEGMENT_BYTES_MIN).next_multiple_of(SECTOR as u64)
}

/// A segment that is created before it is needed, because the writer must not wait for its zeros.
#[derive(Debug)]
pub(crate) struct SegmentOrder {
    backend: Arc<dyn LogBackend>,
    segment: LogSegment,
    created: Arc<Mutex<Vec<LogSegment>>>,
}

impl SegmentOrder {
    /// Creates the segment. It blocks.
    pub(crate) fn create(self) -> io::Result<()> {
        self.backend.create(self.segment)?;
        self.created.lock().push(self.segment);
        Ok(())
    }
}

/// The log of one opening.
#[derive(Debug)]
pub(crate) struct SegmentLog {
    backend: Arc<dyn LogBackend>,
    identity: LogIdentity,
    segment_bytes: u64,
    /// Number of the last group.
    last: u64,
    /// Segment that is written, and the offset of the next record.
    current: Option<(LogSegment, u64)>,
    /// Full segments, oldest first, with the number of the last group in each.
    full: VecDeque<(LogSegment, u64)>,
    /// Segments without a group that is needed.
    free: Vec<LogSegment>,
    next_segment: u64,
    /// Segments that were ordered and are ready.
    created: Arc<Mutex<Vec<LogSegment>>>,
    /// Number of segments that were ordered and are not taken yet.
    ordered: usize,
}

impl SegmentLog {
    /// Creates the first segment of a log, if there is none.
    pub(crate) fn provide(backend: &dyn LogBackend, log_max: u64) -> io::Result<()> {
        if backend.segments()?.is_empty() {
            backend.create(LogSegment { number: 0, length: segment_bytes(log_max) })?;
        }
        Ok(())
    }

    /// Begins a log. What the segments hold is not needed any more.
    pub(crate) fn begin(backend: Arc<dyn LogBackend>, position: &LogPosition, log_max: u64) -> io::Result<Self> {
        let (identity, last, segment_bytes) = (position.identity, position.number, segment_bytes(log_max));
        let (free, other): (Vec<_>, Vec<_>) =
            backend.segments()?.into_iter().partition(|segment| segment.length == segment_bytes);
        let next_segment = free.iter().chain(&other).map(|segment| segment.number + 1).max().unwrap_or(0);
        let mut log = Self {
            backend,
            identity,
            segment_bytes,
            last,
            current: None,
            full: VecDeque::new(),
            free,
            next_segment,
            created: Arc::default(),
            ordered: 0,
        };
        for segment in other {
            log.backend.remove(segment.number)?;
        }
        log.drop_spares()?;
        if log.free.is_empty() {
            let first = log.create(segment_bytes)?;
            log.free.push(first);
        }
        Ok(log)
    }

    /// Returns the number of the last group.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Returns the bytes of the segments that hold groups.
    pub(crate) fn used(&self) -> u64 {
        let current = self.current.map_or(0, |(_, at)| at);
        self.full.iter().map(|(segment, _)| segment.length).sum::<u64>() + current
    }

    /// Appends a group, and returns when it is on disk.
    pub(crate) fn append(&mut self, record: &mut RecordBuilder, time: u64) -> io::Result<()> {
        let number = self.last + 1;
        let bytes = record.seal(&self.identity, number, time);
        let (segment, at) = match self.current {
            Some((segment, at)) if at + bytes.len() as u64 <= segment.length => (segment, at),
            _ => (self.change_segment(bytes.len() as u64)?, 0),
        };
        self.backend.append(segment.number, at, bytes)?;
        self.last = number;
        self.current = Some((segment, at + bytes.len() as u64));
        Ok(())
    }

    /// Changes to a segment that has room for this record. A record that is larger than a segment gets one of its own.
    fn change_segment(&mut self, bytes: u64) -> io::Result<LogSegment> {
        self.full.extend(self.current.take().map(|(segment, _)| (segment, self.last)));
        if bytes > self.segment_bytes {
            return self.create(bytes);
        }
        self.take_created();
        match self.free.pop() {
            Some(segment) => Ok(segment),
            None => self.create(self.segment_bytes),
        }
    }

    fn take_created(&mut self) {
        let mut created = self.created.lock();
        self.ordered -= created.len();
        self.free.append(&mut created);
    }

    /// Returns an order for a segment if one will be needed soon.
    pub(crate) fn order_spare(&mut self) -> Option<SegmentOrder> {
        let is_half_full = self.current.is_some_and(|(segment, at)| at > segment.length / 2);
        if !is_half_full || !self.free.is_empty() || self.ordered > 0 {
            return None;
        }
        let segment = LogSegment { number: self.next_segment, length: self.segment_bytes };
        self.next_segment += 1;
        self.ordered += 1;
        Some(SegmentOrder { backend: self.backend.clone(), segment, created: self.created.clone() })
    }

    fn create(&mut self, length: u64) -> io::Result<LogSegment> {
        let segment = LogSegment { number: self.next_segment, length };
        self.next_segment += 1;
        self.backend.create(segment)?;
        Ok(segment)
    }

    /// Takes back the segments whose groups are all at or below `upto`, because a checkpoint holds these.
    pub(crate) fn recycle(&mut self, upto: u64) -> io::Result<()> {
        while self.full.front().is_some_and(|(_, last)| *last <= upto) {
            let Some((segment, _)) = self.full.pop_front() else { break };
            if segment.length == self.segment_bytes {
                self.free.push(segment);
            } else {
                self.backend.remove(segment.number)?;
            }
        }
        if self.last <= upto && self.current.is_some_and(|(segment, _)| segment.length == self.segment_bytes) {
            // The next record goes to the beginning: what stays behind it has lower numbers.
            self.free.extend(self.current.take().map(|(segment, _)| segment));
        }
        self.drop_spares()
    }

    fn drop_spares(&mut self) -> io::Result<()> {
        while self.free.len() > SPARE_MAX {
            let segment = self.free.swap_remove(0);
            self.backend.remove(segment.number)?;
        }
        Ok(())
    }
}
