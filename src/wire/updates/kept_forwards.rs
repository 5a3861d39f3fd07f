//! Forwards in quarantine whose origin's keys were unknown: they are judged again, at an operator's call and from time to time,
//! and taken once the keys are had.

use std::sync::Arc;
use std::time::Duration;

use actors::errors::BatchError;
use actors::gateway::Gateway;
use actors::model::ParkedCode;
use actors::peer::inbound::forwards::judge_forward::ForwardStep;
use actors::ports::{
    ArchiveError, Direction, ParkedFilter, ParkedRow, QuarantineItemKind, QuarantineReason, StoreInspector,
};
use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use super::forward;
use crate::wire::pdu::PduReader;
use crate::wire::pdu::relay_judge::RelayJudge;

/// Interval at which forwards whose origin's keys are unknown are judged again.
const AGAIN: Duration = Duration::from_secs(60);

/// Maximum number of rows in a page of quarantine.
const PAGE: u32 = 200;

/// Judges a quarantined forward again. Returns what became of it, or the reason for which it stays.
pub async fn settle(
    gateway: &Gateway,
    judge: &dyn RelayJudge,
    row: &ParkedRow,
) -> Result<Result<&'static str, String>, BatchError> {
    let sender = &row.place.server;
    let text = Bytes::from(row.bytes.as_deref().unwrap_or_default().to_vec());
    let read = forward::read_again(&text, &PduReader::new(sender, gateway, judge)).await;
    let Some(read) = read else {
        return Ok(Err("it has not the form of a forward; it can only be dropped".to_owned()));
    };
    Ok(match gateway.settle_forward(sender, read).await? {
        ForwardStep::Take => Ok("delivered"),
        ForwardStep::PassOn => Ok("queued"),
        ForwardStep::Known => Ok("known"),
        ForwardStep::Refuse(code, reason) => Err(format!("{}: {reason}", code.as_str())),
    })
}

/// Judges forwards whose origin's keys were unknown again and again, until it is dropped.
pub async fn run(gateway: Gateway, inspect: Arc<dyn StoreInspector>, judge: Arc<dyn RelayJudge>) {
    let mut rounds = interval(AGAIN);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        if let Err(error) = round(&gateway, &*inspect, &*judge).await {
            tracing::warn!(%error, "quarantined forwards cannot be read; they are looked at later");
        }
    }
}

async fn round(gateway: &Gateway, inspect: &dyn StoreInspector, judge: &dyn RelayJudge) -> Result<(), ArchiveError> {
    let mut after = None;
    loop {
        let filter = ParkedFilter { direction: Some(Direction::In), ..ParkedFilter::default() };
        let page = inspect.parked(filter, after, PAGE).await?;
        for listed in page.rows {
            let is_meant = matches!(listed.what, QuarantineItemKind::ForwardIn(..))
                && listed.code == QuarantineReason::Inbound(ParkedCode::KeysUnknown);
            // It may have been removed since the page was read.
            let row = if is_meant { inspect.parked_row(listed.place).await? } else { None };
            let Some(row) = row else { continue };
            if matches!(settle(gateway, judge, &row).await, Ok(Ok(_))) {
                tracing::info!(peer = %row.place.server, number = row.place.number, "a kept forward is taken: the keys of its origin are known now");
                // If it fails, the next round finds that the forward is known.
                let _ = gateway.forget_parked(&row.place).await;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}
