//! Messages of groups in quarantine whose peer did not participate in the context: they are composed once it does, in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actors::errors::ContextError;
use actors::gateway::Gateway;
use actors::model::{GroupId, GroupMessage, ParkedCode, PduVerdict, ServerName};
use actors::ports::{
    ArchiveError, Direction, ParkedFilter, ParkedRow, QuarantineItemKind, QuarantineReason, StoreInspector,
};
use serde_json::value::RawValue;
use tokio::time::{MissedTickBehavior, interval};

use super::group_message::group_message;

/// Interval at which messages are looked for that could not be taken when their peer joined, because the gateway was busy.
const AGAIN: Duration = Duration::from_secs(60);

/// Maximum number of rows in a page of quarantine.
const PAGE: u32 = 200;

/// Submits a quarantined update to its context, if it is the message of a mapped group. `None`: it is none.
pub async fn settle(gateway: &Gateway, row: &ParkedRow) -> Result<Option<PduVerdict>, ContextError> {
    let QuarantineItemKind::UpdateIn(seq) = row.what else { return Ok(None) };
    let Some(message) = message_of(row) else { return Ok(None) };
    gateway.bridge_parked(&row.place, seq, &message).await
}

fn message_of(row: &ParkedRow) -> Option<GroupMessage> {
    let bytes = row.bytes.as_ref()?;
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    group_message(bytes, raw.get(), &row.place.server)
}

/// Composes the kept messages of peers that have joined, whenever servers have, until it is dropped.
pub async fn run(gateway: Gateway, inspect: Arc<dyn StoreInspector>) {
    let mut rounds = interval(AGAIN);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = gateway.participants_changed() => {}
        }
        if let Err(error) = round(&gateway, &*inspect).await {
            tracing::warn!(%error, "quarantined messages of groups cannot be read; they are looked at later");
        }
    }
}

async fn round(gateway: &Gateway, inspect: &dyn StoreInspector) -> Result<(), ArchiveError> {
    for (server, groups) in joined(gateway).await {
        compose_kept(gateway, inspect, &server, &groups).await?;
    }
    Ok(())
}

/// Composes the kept messages of these groups, until one cannot be taken now: what comes after it waits, because the messages of a
/// group keep their order.
async fn compose_kept(
    gateway: &Gateway,
    inspect: &dyn StoreInspector,
    server: &ServerName,
    groups: &BTreeSet<GroupId>,
) -> Result<(), ArchiveError> {
    let mut after = None;
    loop {
        let (only, direction) = (Some(server.clone()), Some(Direction::In));
        let page = inspect.parked(ParkedFilter { server: only, direction, pdus: Some(false) }, after, PAGE).await?;
        for listed in page.rows {
            if listed.code != QuarantineReason::Inbound(ParkedCode::NotAParticipant) {
                continue;
            }
            // It may have been removed since the page was read.
            let Some(row) = inspect.parked_row(listed.place).await? else { continue };
            if !message_of(&row).is_some_and(|message| groups.contains(&message.group)) {
                continue;
            }
            match settle(gateway, &row).await {
                Ok(Some(PduVerdict::Accepted | PduVerdict::Held | PduVerdict::Duplicate)) => {
                    tracing::info!(peer = %server, number = row.place.number, "a kept message of a group is composed: its server participates now");
                    // If it fails, the next round finds that the message is known.
                    let _ = gateway.forget_parked(&row.place).await;
                }
                Ok(None | Some(PduVerdict::Parked { .. } | PduVerdict::Refused { .. })) => {}
                Err(error) => {
                    tracing::debug!(peer = %server, %error, "a kept message of a group cannot be composed now; it is tried again");
                    return Ok(());
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Returns the servers with groups that are contexts in which they participate, each with these groups.
async fn joined(gateway: &Gateway) -> BTreeMap<ServerName, BTreeSet<GroupId>> {
    let mut joined: BTreeMap<ServerName, BTreeSet<GroupId>> = BTreeMap::new();
    let limits = gateway.ports().roster.contexts();
    // The change of the participants may not be committed yet.
    if limits.groups.is_empty() || gateway.ports().journal.barrier().committed().await.is_err() {
        return joined;
    }
    for (context, servers) in limits.groups.iter() {
        // A context that does not exist has no participants.
        let Ok(record) = gateway.record(context).await else { continue };
        for (server, group) in servers.iter().filter(|(server, _)| record.participants.contains(server)) {
            joined.entry(server.clone()).or_default().insert(*group);
        }
    }
    joined
}
