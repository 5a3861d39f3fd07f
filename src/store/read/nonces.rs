//! Nonces of accepted signatures, for the start of a gateway.

use actors::model::{Millis, UsedNonce};
use actors::ports::ArchiveError;
use redb::ReadTransaction;

use super::Read;
use crate::store::Store;
use crate::store::schema::tables;

impl Store {
    /// Returns the nonces of all signatures that are not too old at this time, with an hour of slack. Their number is bounded by
    /// `peers.nonces_max` a key in ten minutes.
    pub async fn used_nonces(&self, now: Millis) -> Result<Vec<UsedNonce>, ArchiveError> {
        self.page(move |_, rows| used_nonces(rows, now)).await
    }
}

fn used_nonces(rows: &ReadTransaction, now: Millis) -> Read<Vec<UsedNonce>> {
    let nonces = rows.open_table(tables::NONCES)?;
    let mut used = vec![];
    for row in nonces.range((now.0.saturating_sub(tables::NONCE_SLACK), "", "")..)? {
        let (key, _) = row?;
        let (until, key, nonce) = key.value();
        used.push(UsedNonce { key: key.into(), nonce: nonce.into(), until: Millis(until) });
    }
    Ok(used)
}
