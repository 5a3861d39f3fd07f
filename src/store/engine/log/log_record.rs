//! The encoding of a group in the log: a header with checksums, and the operations on rows in the order in which the group
//! did them.
//!
//! ```text
//! checksum of the header  4    checksum of the operations  4    length of the operations  4    0  4
//! number of the group     8    time of the group in ms     8    operations ...    zeros up to a sector
//! ```
//! Numbers are little-endian, checksums are CRC-32C and begin with the identity of the log: 16 random bytes that each opening
//! of the store chooses and keeps in the store's file. So what an earlier opening left in a segment is no record, and neither
//! are bytes that a peer makes look like one. A record begins at a sector, because a disk writes sectors whole: a record that
//! was written only in part cannot damage the one before it.

use crate::store::engine::table_directory::TableDirectory;

/// The unit in which a disk writes.
pub(crate) const SECTOR: usize = 512;

/// Bytes of a header.
pub(crate) const HEADER: usize = 32;

/// Bytes that a builder keeps for the next record; a larger buffer is given back.
const BUFFER_KEPT: usize = 4 << 20;

/// The identity of the log of one opening.
pub(crate) type LogIdentity = [u8; 16];

const DEFINE: u8 = 0;
const PUT: u8 = 1;
const PUT_NEW: u8 = 2;
const REMOVE: u8 = 3;
const REMOVE_RANGE: u8 = 4;

/// An operation on a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOperation<'a> {
    /// A row is written; if it is new, no row with its key can be seen before.
    Put { key: &'a [u8], value: &'a [u8], is_new: bool },
    /// A row is removed.
    Remove { key: &'a [u8] },
    /// The rows from a key to before another are removed.
    RemoveRange { from: &'a [u8], to: &'a [u8] },
}

/// A record that is being built.
#[derive(Debug)]
pub(crate) struct RecordBuilder {
    bytes: Vec<u8>,
    /// Numbers within the record of the tables that it names.
    named: Vec<Option<u8>>,
    count: u8,
}

impl RecordBuilder {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEADER], named: vec![None; TableDirectory::get().len()], count: 0 }
    }

    /// Adds an operation on a table.
    pub(crate) fn add(&mut self, table: usize, operation: RowOperation<'_>) {
        let number = self.table(table);
        let (kind, first, second) = match operation {
            RowOperation::Put { key, value, is_new } => (if is_new { PUT_NEW } else { PUT }, key, value),
            RowOperation::Remove { key } => (REMOVE, key, &[][..]),
            RowOperation::RemoveRange { from, to } => (REMOVE_RANGE, from, to),
        };
        self.bytes.extend_from_slice(&[kind, number]);
        for part in [first, second] {
            let length = u32::try_from(part.len()).expect("a key or a value has less than 4 GiB");
            self.bytes.extend_from_slice(&length.to_le_bytes());
        }
        self.bytes.extend_from_slice(first);
        self.bytes.extend_from_slice(second);
    }

    /// Returns the number of a table within this record, and names it at its first use.
    fn table(&mut self, table: usize) -> u8 {
        if let Some(number) = self.named[table] {
            return number;
        }
        let (name, number) = (TableDirectory::get().name(table), self.count);
        let length = u8::try_from(name.len()).expect("a name of a table is short");
        self.bytes.extend_from_slice(&[DEFINE, length]);
        self.bytes.extend_from_slice(name.as_bytes());
        self.count += 1;
        *self.named[table].insert(number)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER
    }

    /// Completes the record, up to the end of its last sector.
    pub(crate) fn seal(&mut self, identity: &LogIdentity, number: u64, time: u64) -> &[u8] {
        let operations = crc32c::crc32c_append(crc32c::crc32c(identity), &self.bytes[HEADER..]);
        let length = u32::try_from(self.bytes.len() - HEADER).expect("a group has less than 4 GiB");
        let header = &mut self.bytes[..HEADER];
        header[4..8].copy_from_slice(&operations.to_le_bytes());
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header[12..16].fill(0);
        header[16..24].copy_from_slice(&number.to_le_bytes());
        header[24..32].copy_from_slice(&time.to_le_bytes());
        let checksum = header_checksum(identity, header);
        header[..4].copy_from_slice(&checksum.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(SECTOR), 0);
        &self.bytes
    }

    /// Gives back the memory that a large group needed. The record must be empty.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to(HEADER);
    }

    /// Begins a new record.
    pub(crate) fn clear(&mut self) {
        if self.bytes.capacity() > BUFFER_KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.named.fill(None);
        self.count = 0;
    }
}

fn header_checksum(identity: &LogIdentity, header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(identity), &header[4..HEADER])
}

/// A record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogRecord<'a> {
    pub(crate) number: u64,
    pub(crate) time: u64,
    operations: &'a [u8],
}

/// Error: a record with a right checksum that this program cannot have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group {number} of the log cannot be understood: {what}")]
pub(crate) struct BadRecord {
    number: u64,
    what: String,
}

impl<'a> LogRecord<'a> {
    /// Reads the record that begins here; `None` if none does.
    pub(crate) fn read(identity: &LogIdentity, bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let word = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).expect("four bytes");
        let long = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).expect("eight bytes");
        if word(0) != header_checksum(identity, header) {
            return None;
        }
        let operations = bytes.get(HEADER..)?.get(..word(8) as usize)?;
        let checksum = crc32c::crc32c_append(crc32c::crc32c(identity), operations);
        (checksum == word(4)).then_some(Self { number: long(16), time: long(24), operations })
    }

    /// Returns the bytes of the record, up to the end of its last sector.
    pub(crate) fn length(&self) -> usize {
        (HEADER + self.operations.len()).next_multiple_of(SECTOR)
    }

    /// Calls `each` with the operations, and the numbers of their tables, in order.
    pub(crate) fn operations(&self, mut each: impl FnMut(usize, RowOperation<'a>)) -> Result<(), BadRecord> {
        let bad = |what: &str| BadRecord { number: self.number, what: what.to_owned() };
        let (mut rest, mut tables) = (self.operations, Vec::new());
        let early = || bad("it ends early");
        while let [kind, number, after @ ..] = rest {
            rest = after;
            if *kind == DEFINE {
                let name = take(&mut rest, usize::from(*number)).ok_or_else(early)?;
                let name = String::from_utf8_lossy(name);
                let table = TableDirectory::get().number(&name);
                tables.push(table.ok_or_else(|| bad(&format!("it names the table {name:?}")))?);
                continue;
            }
            let table = *tables.get(usize::from(*number)).ok_or_else(|| bad("it names no table"))?;
            let mut length = || {
                let bytes = take(&mut rest, 4)?.try_into().expect("four bytes");
                Some(u32::from_le_bytes(bytes) as usize)
            };
            let (first, second) = length().zip(length()).ok_or_else(early)?;
            let first = take(&mut rest, first).ok_or_else(early)?;
            let second = take(&mut rest, second).ok_or_else(early)?;
            each(
                table,
                match *kind {
                    PUT | PUT_NEW => RowOperation::Put { key: first, value: second, is_new: *kind == PUT_NEW },
                    REMOVE => RowOperation::Remove { key: first },
                    REMOVE_RANGE => RowOperation::RemoveRange { from: first, to: second },
                    other => return Err(bad(&format!("it has an operation {other}"))),
                },
            );
        }
        if rest.is_empty() { Ok(()) } else { Err(early()) }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
