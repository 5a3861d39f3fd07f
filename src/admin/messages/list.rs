//! `GET /admin/v1/messages`: submissions by peer, context, state and age, page by page.

use std::collections::{BTreeMap, HashMap};

use actix_web::{HttpResponse, web};
use actors::model::{ContextId, Index, ServerName, SubmissionId};
use actors::ports::{SubmissionFilter, SubmissionRow};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApi;
use crate::admin::answer::{older_than, page, server};
use crate::api::FixedText;
use crate::api::messages::{MessageListPage, MessageListRow};
use crate::api::pdus::PduName;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;
use crate::messenger::messages::trace;

/// The states of a delivery, as a trace shows them.
const STATES: [&str; 8] =
    ["queued", "relayed", "acknowledged", "delivered", "rejected", "refused", "parked", "expired"];

/// Number of deliveries examined in one call, after which it continues with no further submission.
const DELIVERIES_A_CALL: usize = 10_000;

/// The selection of submissions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct MessageListQuery {
    /// Only submissions for this server.
    peer: Option<String>,
    /// Only messages of this context.
    context: Option<String>,
    /// Only submissions whose delivery to a recipient, or to the peer, is in this state.
    state: Option<String>,
    /// Only submissions accepted longer ago than this, such as `1h`.
    older_than: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// Number of submissions, 100 if it is absent. More than 1,000 are 1,000.
    limit: Option<u32>,
}

/// The deliveries of a submission that are shown: each recipient with its ranges of indexes, or with a state that needs none.
type ShownDeliveries = Vec<(ServerName, Result<Vec<(Index, Index)>, &'static str>)>;

/// Returns a page of submissions, by id.
pub(in crate::admin) async fn list(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<MessageListQuery>,
) -> Result<HttpResponse, ApiError> {
    let bad = |what: &str, value: &str| ApiError::bad_request("BAD_FILTER", format!("{value:?} is no {what}"));
    let recipient = asked.peer.as_deref().map(|name| server(&api.gateway, name)).transpose()?;
    let context = asked.context.as_deref().map(|id| id.parse::<ContextId>().map_err(|_| bad("context", id)));
    let state = asked.state.as_deref().map(|state| STATES.into_iter().find(|known| *known == state).ok_or(state));
    let state = state.transpose().map_err(|state| bad(&format!("state ({})", STATES.join(", ")), state))?;
    let before = asked.older_than.as_deref().map(|age| older_than(&api.gateway, age)).transpose()?;
    let after = asked.after.as_deref().map(|id| {
        let words = || format!("{id:?} is not the `next` of an earlier page");
        id.parse::<SubmissionId>().map_err(|_| ApiError::bad_request("BAD_AFTER", words()))
    });
    let filter = SubmissionFilter { recipient: recipient.clone(), context: context.transpose()?, before, pdu: None };
    let found = api.inspect.submissions(filter, after.transpose()?, page(asked.limit)).await?;
    let (mut rows, mut next) = (Vec::new(), found.next);
    let mut deliveries = 0;
    for row in found.rows {
        let shown = shown(&row, recipient.as_ref());
        deliveries += shown.len();
        if deliveries > DELIVERIES_A_CALL && !rows.is_empty() {
            next = rows.last().map(|(row, _): &(SubmissionRow, _)| row.id.clone());
            break;
        }
        rows.push((row, shown));
    }
    let messages = with_states(&api, rows).await?;
    let is_selected = |row: &MessageListRow| state.is_none_or(|state| row.peers.values().any(|other| other == state));
    let messages = messages.into_iter().filter(is_selected).collect();
    Ok(HttpResponse::Ok().json(MessageListPage { messages, next: next.map(|id| id.to_string()) }))
}

/// Returns the deliveries of a submission, or that to one server.
fn shown(row: &SubmissionRow, only: Option<&ServerName>) -> ShownDeliveries {
    let record = &row.record;
    let queued = record.queued.iter().map(|(server, _)| (server.clone(), Ok(record.runs(server).collect())));
    let left_out = record.left_out.iter().map(|server| (server.clone(), Err("parked")));
    let formless = record.formless.iter().map(|server| (server.clone(), Err("refused")));
    queued.chain(left_out).chain(formless).filter(|(server, _)| only.is_none_or(|only| only == server)).collect()
}

/// Adds the states of the deliveries to a page of submissions. The queue of each peer is asked for once.
async fn with_states(
    api: &AdminApi,
    rows: Vec<(SubmissionRow, ShownDeliveries)>,
) -> Result<Vec<MessageListRow>, ApiError> {
    let mut servers: Vec<ServerName> = Vec::new();
    for (server, runs) in rows.iter().flat_map(|(_, shown)| shown) {
        if runs.is_ok() && !servers.contains(server) {
            servers.push(server.clone());
        }
    }
    let progress = trace::progress(&api.gateway, servers.clone()).await?;
    let progress: HashMap<ServerName, _> = servers.into_iter().zip(progress).collect();
    let ranges =
        rows.iter().flat_map(|(_, shown)| shown).filter_map(|(server, runs)| Some((server, runs.as_ref().ok()?)));
    let ranges = ranges.flat_map(|(server, runs)| runs.iter().map(|(first, last)| (server.clone(), *first, *last)));
    let mut fates = api.inspect.fates(ranges.collect()).await?.into_iter();
    let mut messages = Vec::with_capacity(rows.len());
    for (SubmissionRow { id, record, context }, shown) in rows {
        let mut peers: BTreeMap<String, FixedText> = BTreeMap::new();
        for (server, runs) in shown {
            let state = match runs {
                Err(state) => state,
                Ok(runs) => {
                    let fate = fates.by_ref().take(runs.len()).fold(None, |first, fate| first.or(fate));
                    progress[&server].state(&runs, fate, record.dropped.contains(&server))
                }
            };
            peers.insert(server.to_string(), state.into());
        }
        messages.push(MessageListRow {
            id: id.to_string(),
            accepted: rfc3339(record.accepted),
            items: record.items,
            context: context.map(|context| context.to_string()),
            pdu: record.pdu.as_ref().map(PduName::from),
            peers,
        });
    }
    Ok(messages)
}
