//! Nonces of accepted signatures, for the start of a gateway.

use actors::model::{Millis, UsedNonce};

use super::Read;
use crate::store::engine::read_snapshot::ReadSnapshot;
use crate::store::schema::tables;

/// Returns the nonces of all signatures that are not too old at this time, with an hour of slack.
pub(super) fn used_nonces(rows: &ReadSnapshot, now: Millis) -> Read<Vec<UsedNonce>> {
    let nonces = rows.open_table(tables::NONCES)?;
    let mut used = vec![];
    for row in nonces.range((now.0.saturating_sub(tables::NONCE_SLACK), "", "")..)? {
        let (key, _) = row?;
        let (until, key, nonce) = key.value();
        used.push(UsedNonce { key: key.into(), nonce: nonce.into(), until: Millis(until) });
    }
    Ok(used)
}
