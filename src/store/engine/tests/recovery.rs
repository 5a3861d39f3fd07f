//! Openings of a log that was torn, damaged or used again.

use std::sync::Arc;

use crate::store::engine::log::log_backend::LogBackend;
use crate::store::engine::log::log_position::LogPosition;
use crate::store::engine::log::log_record::{LogRecord, RecordBuilder, RowOperation, SECTOR};
use crate::store::engine::log::recovery::replay;
use crate::store::engine::log::segment_log::SegmentLog;
use crate::store::engine::memtable::{Generation, MemoryLookup};
use crate::store::engine::read_snapshot::number;
use crate::store::engine::tests::MemoryLog;

/// A log whose segments have 4 KiB.
const LOG_MAX: u64 = 8 * 4096;

const POSITION: LogPosition = LogPosition { identity: [7; 16], number: 10, is_closed: false };

fn begin(log: &MemoryLog) -> SegmentLog {
    SegmentLog::begin(Arc::new(log.clone()), &POSITION, LOG_MAX).expect("memory")
}

/// Appends groups of which each writes a row with its number.
fn append(writer: &mut SegmentLog, groups: std::ops::RangeInclusive<u64>, bytes: usize) {
    let mut record = RecordBuilder::new();
    for group in groups {
        let operation = RowOperation::Put { key: &group.to_le_bytes(), value: &vec![1; bytes], is_new: true };
        record.add(number("feed"), operation);
        writer.append(&mut record, group).expect("memory");
        record.clear();
        assert_eq!(writer.last(), group);
    }
}

/// Returns the numbers of the groups that an opening finds, or its error.
fn found(log: &MemoryLog, after: u64) -> Result<Vec<u64>, String> {
    let replayed = replay(log, &POSITION.identity, after).map_err(|error| error.to_string())?;
    let has = |group: &u64| {
        let Generation { tables, .. } = &replayed;
        matches!(tables[number("feed")].get(&group.to_le_bytes()), MemoryLookup::Found(_))
    };
    let groups: Vec<u64> = (0..1_000).filter(has).collect();
    assert_eq!(groups.last().copied().unwrap_or(after), replayed.last);
    Ok(groups)
}

fn numbers(from: u64, to: u64) -> Result<Vec<u64>, String> {
    Ok((from..=to).collect())
}

#[test]
fn groups_above_checkpoint_are_replayed() {
    let log = MemoryLog::default();
    append(&mut begin(&log), 11..=60, 300);
    assert!(log.segments().expect("memory").len() > 3, "several segments");
    for after in [10, 11, 30, 59, 60] {
        assert_eq!(found(&log, after), numbers(after + 1, 60));
    }
}

#[test]
fn torn_last_group_is_dropped() {
    let log = MemoryLog::default();
    let mut writer = begin(&log);
    append(&mut writer, 11..=14, 100);
    append(&mut writer, 15..=15, 1_200);
    let last = 4 * SECTOR;
    // Each set of sectors of the last record reaches the disk, in any order.
    for sectors in 0..7u8 {
        let torn = MemoryLog::default();
        torn.0.lock().clone_from(&*log.0.lock());
        torn.damage(0, |bytes| {
            for sector in 0..3 {
                if sectors & 1 << sector == 0 {
                    bytes[last + sector * SECTOR..last + (sector + 1) * SECTOR].fill(0);
                }
            }
        });
        assert_eq!(found(&torn, 10), numbers(11, 14), "{sectors:b}");
    }
}

#[test]
fn lost_middle_group_is_damage() {
    let log = MemoryLog::default();
    append(&mut begin(&log), 11..=40, 300);
    for (segment, what) in [(0, "its first segment"), (2, "a later one")] {
        for at in [0, SECTOR, 3 * SECTOR + 40] {
            let damaged = MemoryLog::default();
            damaged.0.lock().clone_from(&*log.0.lock());
            damaged.damage(segment, |bytes| bytes[at] ^= 1);
            let error = found(&damaged, 10).expect_err(what);
            assert!(error.contains("its log lacks group") && error.contains("and has group 40"), "{error}");
        }
    }
    let lost = MemoryLog::default();
    lost.0.lock().clone_from(&*log.0.lock());
    lost.remove(1).expect("memory");
    assert!(found(&lost, 10).is_err(), "a segment is missing");
    assert!(found(&log, 5).expect_err("groups 6 to 10 are missing").contains("its log lacks group 6"));
}

#[test]
fn segments_are_used_again() {
    let log = MemoryLog::default();
    let mut writer = begin(&log);
    let mut held = 10;
    for round in 0..40 {
        let first = 11 + round * 20;
        append(&mut writer, first..=first + 19, 300);
        assert_eq!(found(&log, held), numbers(held + 1, first + 19), "round {round}");
        // A checkpoint holds the first half.
        held = first + 9;
        writer.recycle(held).expect("memory");
        assert!(log.segments().expect("memory").len() < 8, "the log grows");
        assert!(writer.used() < LOG_MAX);
    }
}

#[test]
fn torn_record_over_old_is_dropped() {
    let log = MemoryLog::default();
    let mut writer = begin(&log);
    append(&mut writer, 11..=16, 100);
    writer.recycle(16).expect("memory");
    let before = log.0.lock().clone();
    append(&mut writer, 17..=17, 1_200);
    for lost in 0..3 {
        let torn = MemoryLog::default();
        torn.0.lock().clone_from(&*log.0.lock());
        let sector = lost * SECTOR..(lost + 1) * SECTOR;
        torn.damage(0, |bytes| bytes[sector.clone()].copy_from_slice(&before[&0][sector]));
        assert_eq!(found(&torn, 16), Ok(vec![]), "sector {lost} is the old one");
    }
    assert_eq!(found(&log, 16), Ok(vec![17]));
}

#[test]
fn large_group_has_own_segment() {
    let log = MemoryLog::default();
    let mut writer = begin(&log);
    append(&mut writer, 11..=12, 100);
    append(&mut writer, 13..=13, 50_000);
    append(&mut writer, 14..=15, 100);
    assert_eq!(found(&log, 10), numbers(11, 15));
    writer.recycle(13).expect("memory");
    let lengths = log.segments().expect("memory").into_iter().map(|segment| segment.length);
    assert!(lengths.max().is_some_and(|most| most < 50_000), "the large segment stays");
    assert_eq!(found(&log, 13), numbers(14, 15));
}

#[test]
fn earlier_log_is_no_part() {
    let log = MemoryLog::default();
    append(&mut begin(&log), 11..=30, 300);
    assert!(replay(&log, &[8; 16], 10).is_ok_and(|replayed| replayed.last == 10));
    // A peer cannot make bytes that look like a record, because it does not know the identity.
    let record = log.0.lock()[&0][..SECTOR].to_vec();
    assert!(LogRecord::read(&POSITION.identity, &record).is_some());
    assert!(LogRecord::read(&[0; 16], &record).is_none());
}
