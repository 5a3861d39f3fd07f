//! `/admin/v1/queue`: unacknowledged items by peer and age.

pub(super) mod purge;
mod selection;
pub(super) mod transfer;

use actix_web::{HttpResponse, web};
use actors::errors::PeerError;
use actors::model::{Index, Millis, ServerName};
use actors::ports::QueuedItem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApi;
use crate::admin::answer::{page, peer};
use crate::api::pdus::PduName;
use crate::api::queue::{PeerShapeRow, QueueItemRow, QueueItemsPage, QueueShapePage};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;

const MINUTE: u64 = 60 * 1000;

/// The upper limits of the age buckets, and their names. They double, so that an outage of minutes is easily
/// distinguished from one of days. One more bucket contains everything older.
const BUCKETS: [(&str, u64); 8] = [
    ("5m", 5 * MINUTE),
    ("10m", 10 * MINUTE),
    ("20m", 20 * MINUTE),
    ("40m", 40 * MINUTE),
    ("80m", 80 * MINUTE),
    ("160m", 160 * MINUTE),
    ("320m", 320 * MINUTE),
    ("1d", 24 * 60 * MINUTE),
];
const OLDER: &str = "1d+";

/// Number of items examined after which a call continues with no further peer. Each queue is examined completely;
/// `outbox_items` limits it.
const ITEMS_A_CALL: u64 = 200_000;

/// Maximum number of peers in one response.
const PEERS_A_CALL: usize = 1_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueShapeQuery {
    /// Peer after which the page begins.
    after: Option<String>,
}

/// Returns the peers with unacknowledged items, ordered by name, with the number of items per age bucket.
pub(super) async fn shape(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<QueueShapeQuery>,
) -> Result<HttpResponse, ApiError> {
    let now = api.gateway.ports().clock.now();
    let edges: Vec<Millis> = BUCKETS.iter().map(|(_, age)| Millis(now.0.saturating_sub(*age))).collect();
    let behind = api.gateway.ports().archive.peers.peers_with_backlog(vec![]).await?;
    let after = asked.after.as_deref().unwrap_or("");
    let mut servers = behind.into_iter().filter(|server| server.as_str() > after).peekable();
    let (mut peers, mut looked_at) = (Vec::new(), 0);
    let mut next = None;
    while let Some(server) = servers.next() {
        let counts = ages(&api, &server, &edges).await?;
        let total = counts.iter().sum();
        looked_at += total;
        // The peer may have acknowledged everything since.
        if total > 0 {
            peers.push(PeerShapeRow { server: server.to_string(), total, counts });
        }
        if (looked_at >= ITEMS_A_CALL || peers.len() >= PEERS_A_CALL) && servers.peek().is_some() {
            next = Some(server.to_string());
            break;
        }
    }
    let buckets = BUCKETS.iter().map(|(name, _)| *name).chain([OLDER]).map(Into::into).collect();
    Ok(HttpResponse::Ok().json(QueueShapePage { time: rfc3339(now), buckets, peers, next }))
}

async fn ages(api: &AdminApi, server: &ServerName, edges: &[Millis]) -> Result<Vec<u64>, ApiError> {
    let mut counts = vec![0; edges.len() + 1];
    let mut after = Some(acked(api, server).await?);
    while let Some(from) = after {
        let page = api.inspect.ages(server, from, edges.to_vec()).await?;
        counts.iter_mut().zip(page.rows).for_each(|(sum, count)| *sum += count);
        after = page.next;
    }
    Ok(counts)
}

/// Returns the index up to which a peer has acknowledged. For a former peer, or one whose actor was given up, it is
/// read from the store.
pub(super) async fn acked(api: &AdminApi, server: &ServerName) -> Result<Index, ApiError> {
    match api.gateway.peer(server).await {
        Ok(status) => Ok(status.acked),
        Err(PeerError::UnknownPeer(_) | PeerError::Denied(_)) => {
            let row = api.gateway.ports().archive.peers.peer(server).await?.record;
            Ok(row.map_or(Index(0), |row| row.outbound.acked))
        }
        Err(PeerError::Unavailable(error)) => Err(error.into()),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueueItemsQuery {
    /// Index after which the page begins.
    after: Option<u64>,
    /// Number of rows, 100 if it is absent. More than 1,000 are 1,000.
    limit: Option<u32>,
}

impl From<QueuedItem> for QueueItemRow {
    fn from(item: QueuedItem) -> Self {
        let kind = if item.pdu.is_some() { "pdu" } else { "update" };
        let (reference, context) = item.pdu.unzip();
        Self {
            index: item.index.0,
            queued: rfc3339(item.queued),
            kind: kind.into(),
            context: context.map(|context| context.to_string()),
            pdu: reference.as_ref().map(PduName::from),
            submission: item.submission.to_string(),
            size: item.size,
        }
    }
}

/// Returns the unacknowledged items of a peer, oldest first.
pub(super) async fn show(
    api: web::Data<AdminApi>,
    path: web::Path<String>,
    asked: query::QueryParams<QueueItemsQuery>,
) -> Result<HttpResponse, ApiError> {
    let server = peer(&api.gateway, &path)?;
    let acked = acked(&api, &server).await?;
    let limit = page(asked.limit);
    let after = Index(asked.after.unwrap_or(0)).max(acked);
    let items = api.inspect.queued(&server, after, limit).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|item| item.index.0);
    let items = items.into_iter().map(QueueItemRow::from).collect();
    let time = rfc3339(api.gateway.ports().clock.now());
    Ok(HttpResponse::Ok().json(QueueItemsPage { server: server.to_string(), time, items, next }))
}
