//! The index of quarantined PDUs of non-participants, and the index of earlier versions.

use actors::model::{ContextId, ParkedCode, ParkedItem, ParkedWhat, PduRef};
use redb::{ReadableTable, TableDefinition, TableHandle, WriteTransaction};

use crate::store::schema::codec;
use crate::store::schema::codec::columns::{QuarantinePlace, QuarantineValue};
use crate::store::schema::tables;
use crate::store::schema::tables::ContextPduKey;

/// The index of earlier versions, with one row per PDU whatever its sender: (context, origin, id) -> (server, number,
/// epoch, arrival).
const ONE_A_PDU: TableDefinition<ContextPduKey, (&str, u64, u64, u64)> = TableDefinition::new("strangers");

/// Returns context and identity of a PDU that is quarantined until its server participates; `None` for other items.
pub(crate) fn stranger(parked: &ParkedItem) -> Option<(ContextId, PduRef)> {
    let ParkedWhat::Pdu { origin: Some(origin), id: Some(id), context: Some(context) } = &parked.what else {
        return None;
    };
    let waits = parked.code == ParkedCode::NotAParticipant;
    let reference = PduRef { origin: origin.parse().ok()?, id: id.parse().ok()? };
    waits.then(|| (context.clone(), reference))
}

/// Returns the same from a row: context, origin, id.
pub(crate) fn stranger_in(row: QuarantineValue<'_>) -> Option<(ContextId, String, String)> {
    let QuarantineValue { seq, what, code, .. } = row;
    let waits = code == ParkedCode::NotAParticipant.as_str();
    match waits.then(|| codec::what_from_row("quarantine", seq, what))?.ok()?.0 {
        ParkedWhat::Pdu { origin: Some(origin), id: Some(id), context: Some(context) } => Some((context, origin, id)),
        _ => None,
    }
}

/// Converts the index of an earlier version into this one.
pub(crate) fn take_over(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    if !transaction.list_tables()?.any(|table| table.name() == ONE_A_PDU.name()) {
        return Ok(());
    }
    let old = transaction.open_table(ONE_A_PDU)?;
    let mut strangers = transaction.open_table(tables::QUARANTINE_BY_CONTEXT)?;
    for row in old.iter()? {
        let (place, row) = row?;
        let ((context, origin, id), (server, number, epoch, arrival)) = (place.value(), row.value());
        strangers.insert((context, origin, id, server), QuarantinePlace { number, epoch, arrival })?;
    }
    drop((old, strangers));
    transaction.delete_table(ONE_A_PDU)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, ReadableTableMetadata};

    use super::*;

    #[test]
    fn older_index_rows_are_migrated() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("memory");
        let write = database.begin_write().expect("a transaction");
        write.open_table(ONE_A_PDU).expect("a table").insert(("c", "red", "1"), ("green", 7, 2, 3)).expect("a row");
        take_over(&write).expect("sound");
        take_over(&write).expect("nothing is left to do");
        write.commit().expect("memory");
        let read = database.begin_read().expect("a transaction");
        let strangers = read.open_table(tables::QUARANTINE_BY_CONTEXT).expect("a table");
        let row = strangers.get(("c", "red", "1", "green")).expect("readable").expect("a row");
        assert_eq!(
            (row.value(), strangers.len().expect("readable")),
            (QuarantinePlace { number: 7, epoch: 2, arrival: 3 }, 1)
        );
        assert!(read.open_table(ONE_A_PDU).is_err(), "it is gone");
    }
}
