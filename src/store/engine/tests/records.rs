//! The bytes of a record.

use crate::store::engine::log::log_record::{LogRecord, RecordBuilder, RowOperation, SECTOR};
use crate::store::engine::read_snapshot::number;

const IDENTITY: [u8; 16] = *b"sixteen letters.";

fn built(operations: &[(&str, RowOperation<'_>)], number_of_group: u64, time: u64) -> Vec<u8> {
    let mut builder = RecordBuilder::new();
    for (table, operation) in operations {
        builder.add(number(table), *operation);
    }
    builder.seal(&IDENTITY, number_of_group, time).to_vec()
}

const OPERATIONS: [(&str, RowOperation<'static>); 5] = [
    ("feed", RowOperation::Put { key: &[1, 0], value: b"row", is_new: true }),
    ("meta", RowOperation::Put { key: b"k", value: b"", is_new: false }),
    ("feed", RowOperation::Remove { key: &[2, 0] }),
    ("meta", RowOperation::RemoveRange { from: b"a", to: b"bc" }),
    ("feed", RowOperation::Put { key: &[3, 0], value: &[0xff], is_new: false }),
];

/// The encoding is a promise to the next version: it must read the log that this one leaves.
#[test]
fn record_has_these_bytes() {
    let bytes = built(&OPERATIONS, 0x0102, 0x0304);
    let hex: String = bytes[..bytes.iter().rposition(|byte| *byte != 0).expect("not empty") + 1]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(bytes.len(), SECTOR);
}

/// Header: two checksums, 76 bytes, group 0x0102, time 0x0304; then the names and the operations.
const GOLDEN: &str = "b966f829a9cb0e1a4c00000000000000020100000000000004030000000000000004666565640200020000000300000001\
                      00726f7700046d657461010101000000000000006b0300020000000000000002000401010000000200000061626301000200\
                      0000010000000300ff";

#[test]
fn record_returns_its_operations() {
    let bytes = built(&OPERATIONS, 7, 8);
    let record = LogRecord::read(&IDENTITY, &bytes).expect("a record");
    assert_eq!((record.number, record.time, record.length()), (7, 8, SECTOR));
    let mut read = Vec::new();
    record.operations(|table, operation| read.push((table, operation))).expect("sound");
    let expected: Vec<_> = OPERATIONS.iter().map(|(table, operation)| (number(table), *operation)).collect();
    assert_eq!(read, expected);
}

#[test]
fn any_changed_byte_is_noticed() {
    let bytes = built(&OPERATIONS, 7, 8);
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("not empty") + 1;
    for at in 0..used {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        assert_eq!(LogRecord::read(&IDENTITY, &bytes), None, "byte {at}");
    }
    assert_eq!(LogRecord::read(b"another identity", &bytes), None);
    for length in 0..used {
        assert_eq!(LogRecord::read(&IDENTITY, &bytes[..length]), None, "{length} bytes");
    }
    assert_eq!(LogRecord::read(&IDENTITY, &[0; SECTOR]), None);
}

#[test]
fn cleared_builder_names_tables_again() {
    let mut builder = RecordBuilder::new();
    let mut first = Vec::new();
    for _ in 0..2 {
        assert!(builder.is_empty());
        builder.add(number("feed"), RowOperation::Remove { key: &[1; 600] });
        let bytes = builder.seal(&IDENTITY, 1, 1).to_vec();
        builder.clear();
        if first.is_empty() {
            first = bytes;
        } else {
            assert_eq!(bytes, first);
        }
    }
    assert_eq!(first.len(), 2 * SECTOR);
}
