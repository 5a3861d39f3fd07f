//! `GET /admin/v1/messages/{id}` for the id of an event: a PDU (`ORIGIN/PDU_ID`) or an update of a peer (`SERVER#N`).

use actix_web::HttpResponse;
use actors::model::{PduRef, Position, ServerName};
use actors::ports::{
    Direction, FeedBounds, ParkedFilter, ParkedRow, PduReception, QuarantineItemKind, SearchedEvent, SubmissionFilter,
};

use crate::admin::AdminApi;
use crate::admin::quarantine::code;
use crate::api::messages::InboundTrace;
use crate::api::pdus::PduName;
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;
use crate::messenger::messages::trace;

/// Maximum number of rows of one read of the quarantine.
const ROWS_A_READ: u32 = 1_000;

/// Returns the trace of a submission, of a PDU, or of an update.
pub(super) async fn answer(api: &AdminApi, id: &str) -> Result<HttpResponse, ApiError> {
    if let Some(pdu) = pdu_of(id) {
        return of_pdu(api, pdu).await;
    }
    match update_of(id) {
        Some((server, n)) => of_update(api, server, n).await,
        None => trace::answer(&api.gateway, id).await,
    }
}

/// Returns the PDU that an id names.
fn pdu_of(id: &str) -> Option<PduRef> {
    let (origin, id) = id.split_once('/')?;
    Some(PduRef { origin: origin.parse().ok()?, id: id.parse().ok()? })
}

/// Returns the server and the count of the update that an id names.
fn update_of(id: &str) -> Option<(ServerName, u64)> {
    let (server, n) = id.split_once('#')?;
    Some((server.parse().ok()?, n.parse().ok()?))
}

/// Returns the trace of a PDU: that of its submission, if our messenger submitted it, else how it came in.
async fn of_pdu(api: &AdminApi, pdu: PduRef) -> Result<HttpResponse, ApiError> {
    if pdu.origin == api.gateway.ports().us
        && let Some(id) = submission_of(api, &pdu).await?
    {
        return trace::answer(&api.gateway, &id).await;
    }
    if let Some(PduReception { context, sender, verified, since, waits_for }) =
        api.inspect.reception(pdu.clone()).await?
    {
        let state = if waits_for.is_some() { "held" } else { "delivered" };
        let event = match &waits_for {
            None => find(api, SearchedEvent::Pdu(pdu.clone())).await?,
            Some(_) => None,
        };
        return Ok(HttpResponse::Ok().json(InboundTrace {
            from: Some(sender.to_string()),
            verified: Some(verified),
            context: Some(context.to_string()),
            time: Some(rfc3339(since)),
            waits_for: waits_for.iter().flatten().map(PduName::from).collect(),
            position: event.map(|(position, _)| position.0),
            acknowledged: event.map(|(_, is_acknowledged)| is_acknowledged),
            ..inbound(pdu.to_string(), "pdu", state)
        }));
    }
    let row = quarantined(api, &pdu).await?.ok_or_else(|| unknown(&format!("there is no PDU {pdu}")))?;
    let context = match &row.what {
        QuarantineItemKind::PduIn { context, .. } => context.as_ref().map(ToString::to_string),
        _ => None,
    };
    Ok(HttpResponse::Ok().json(InboundTrace {
        from: Some(row.place.server.to_string()),
        context,
        time: Some(rfc3339(row.time)),
        code: Some(code(row.code).into()),
        reason: Some(row.reason),
        ..inbound(pdu.to_string(), "pdu", "quarantined")
    }))
}

/// Returns the trace of an update that a peer sent.
async fn of_update(api: &AdminApi, server: ServerName, n: u64) -> Result<HttpResponse, ApiError> {
    let taken = api.gateway.ports().archive.peers.peer(&server).await?.record.map_or(0, |record| record.inbound.taken);
    if n == 0 || n > taken {
        return Err(unknown(&format!("{taken} updates of {server} were taken, and #{n} is none of them")));
    }
    let event = find(api, SearchedEvent::Update(server.clone(), n)).await?;
    Ok(HttpResponse::Ok().json(InboundTrace {
        from: Some(server.to_string()),
        position: event.map(|(position, _)| position.0),
        acknowledged: event.map(|(_, is_acknowledged)| is_acknowledged),
        ..inbound(format!("{server}#{n}"), "update", "delivered")
    }))
}

/// Returns a trace without its details.
fn inbound(id: String, kind: &'static str, state: &'static str) -> InboundTrace {
    InboundTrace {
        id,
        kind: kind.into(),
        state: state.into(),
        from: None,
        verified: None,
        context: None,
        time: None,
        waits_for: Vec::new(),
        position: None,
        acknowledged: None,
        code: None,
        reason: None,
    }
}

fn unknown(words: &str) -> ApiError {
    ApiError::not_found("UNKNOWN_ID", words.to_owned())
}

/// Returns the submission that became a PDU of ours. No row leads from the PDU to it, so all are examined, a page at a time.
async fn submission_of(api: &AdminApi, pdu: &PduRef) -> Result<Option<String>, ApiError> {
    let filter = SubmissionFilter { pdu: Some(pdu.clone()), ..SubmissionFilter::default() };
    let mut after = None;
    loop {
        let page = api.inspect.submissions(filter.clone(), after, 1).await?;
        match (page.rows.into_iter().next(), page.next) {
            (Some(row), _) => return Ok(Some(row.id.to_string())),
            (None, None) => return Ok(None),
            (None, next) => after = next,
        }
    }
}

/// Returns the position of an event in the feed, and whether the messenger has acknowledged it. The feed is read a page at a time.
async fn find(api: &AdminApi, event: SearchedEvent) -> Result<Option<(Position, bool)>, ApiError> {
    let FeedBounds { acked, .. } = *api.gateway.ports().archive.feed.feed_bounds().borrow();
    let mut after = Position(0);
    loop {
        let page = api.inspect.find_event(event.clone(), after).await?;
        match (page.rows.first(), page.next) {
            (Some(position), _) => return Ok(Some((*position, *position <= acked))),
            (None, None) => return Ok(None),
            (None, Some(next)) => after = next,
        }
    }
}

/// Returns the copy of a PDU that is in quarantine.
async fn quarantined(api: &AdminApi, pdu: &PduRef) -> Result<Option<ParkedRow>, ApiError> {
    let filter = ParkedFilter { direction: Some(Direction::In), pdus: Some(true), ..ParkedFilter::default() };
    let is_meant = |row: &ParkedRow| match &row.what {
        QuarantineItemKind::PduIn { origin: Some(origin), id: Some(id), .. } => {
            (origin.as_str(), id.as_str()) == (pdu.origin.as_str(), pdu.id.as_str())
        }
        _ => false,
    };
    let mut after = None;
    loop {
        let page = api.inspect.parked(filter.clone(), after, ROWS_A_READ).await?;
        match (page.rows.into_iter().find(is_meant), page.next) {
            (Some(row), _) => return Ok(Some(row)),
            (None, None) => return Ok(None),
            (None, next) => after = next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_told_apart() {
        assert_eq!(pdu_of("red.example:1/a1").map(|pdu| pdu.to_string()).as_deref(), Some("red.example:1/a1"));
        assert_eq!(update_of("red#7").map(|(server, n)| (server.to_string(), n)), Some(("red".to_owned(), 7)));
        assert!(
            ["m-1", "red#x", "#7", "/a", "re d/a"]
                .into_iter()
                .all(|id| pdu_of(id).is_none() && update_of(id).is_none())
        );
    }
}
