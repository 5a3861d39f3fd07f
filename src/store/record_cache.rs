//! The decoded records of contexts that were read last: each submission to a context reads its record, and the record changes with a
//! commit, which is one for many submissions.

use std::num::NonZeroUsize;

use actors::model::{ContextId, ContextRecord};
use lru::LruCache;
use parking_lot::Mutex;

use crate::store::schema::codec;
use crate::store::schema::codec::BadRow;

/// Maximum number of records that are kept.
const RECORDS_KEPT: NonZeroUsize = NonZeroUsize::new(32).expect("not zero");

/// Maximum bytes of a row whose record is kept: one of more than a thousand participants.
const ROW_BYTES_MAX: usize = 32 << 10;

/// Decoded records, each with the row that it was decoded from.
#[derive(Debug)]
pub(crate) struct RecordCache(Mutex<LruCache<ContextId, DecodedRecord>>);

#[derive(Debug)]
struct DecodedRecord {
    row: Box<[u8]>,
    record: ContextRecord,
}

impl Default for RecordCache {
    fn default() -> Self {
        let mut records = LruCache::unbounded();
        records.resize(RECORDS_KEPT);
        Self(Mutex::new(records))
    }
}

impl RecordCache {
    /// Decodes a row of a context, unless it is the row that was decoded last.
    pub(crate) fn decode(&self, context: &ContextId, row: &[u8]) -> Result<ContextRecord, BadRow> {
        if let Some(known) = self.0.lock().get(context)
            && *known.row == *row
        {
            return Ok(known.record.clone());
        }
        let record = codec::context_from_row(context.clone(), row)?;
        if row.len() <= ROW_BYTES_MAX {
            self.0.lock().put(context.clone(), DecodedRecord { row: row.into(), record: record.clone() });
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_row_is_decoded_anew() {
        let context: ContextId = "c".parse().expect("an id");
        let cache = RecordCache::default();
        let record = |next| ContextRecord { next, ..ContextRecord::new(context.clone(), vec![], false) };
        let row = |next| codec::context_to_row(&record(next));
        for next in [1, 1, 2, 1] {
            assert_eq!(cache.decode(&context, &row(next)).expect("sound"), record(next));
        }
        assert!(cache.decode(&context, b"{}").is_err());
        assert_eq!(cache.decode(&context, &row(1)).expect("sound"), record(1));
    }

    #[test]
    fn cache_is_bounded() {
        let cache = RecordCache::default();
        let record = |context: &str| ContextRecord::new(context.parse().expect("an id"), vec![], false);
        for number in 0..100 {
            let record = record(&number.to_string());
            cache.decode(&record.context, &codec::context_to_row(&record)).expect("sound");
        }
        let participants = (0..3_000).map(|n| format!("server-{n}.example").parse().expect("a name")).collect();
        let large = ContextRecord { participants, ..record("large") };
        assert_eq!(cache.decode(&large.context, &codec::context_to_row(&large)).expect("sound"), large);
        let kept = cache.0.lock();
        assert!(kept.len() == RECORDS_KEPT.get() && kept.peek(&large.context).is_none());
    }
}
