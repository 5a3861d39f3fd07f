//! `POST /v1/events/rewind`: takes acknowledgements back, so that events are read again.

use actix_web::{Error, HttpResponse, web};
use actors::change::Change;
use actors::model::Position;
use actors::ports::{CommitPriority, FeedPage};
use bytes::Bytes;

use crate::api::requests::RewindRequest;
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::messenger::MessengerApi;
use crate::messenger::answer::{not_ours, unreadable_body};

/// Commits that the events after a position count as unread, and responds after the commit. Streams that are open are not moved.
pub(crate) async fn post(api: web::Data<MessengerApi>, body: Result<Bytes, Error>) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let RewindRequest { to } = json_error::object(&body)
        .map_err(|why| ApiError::bad_request("BAD_JSON", format!("the body is not {{\"to\":N}}: {why}")))?;
    let (to, ports) = (Position(to), api.gateway.ports());
    let bounds = *ports.archive.feed.feed_bounds().borrow();
    let acked = api.acks.position(bounds);
    if to > bounds.tail {
        return Err(ApiError::beyond_tail(to, bounds.tail));
    }
    if to > acked {
        let words = format!("{to} is not behind the acknowledged position, which is {acked}; acknowledge it instead");
        return Err(ApiError::unprocessable("NOT_BEHIND", words));
    }
    if let FeedPage::Gone { oldest } = ports.archive.feed.feed_after(to, 1, 1).await? {
        return Err(ApiError::gone(oldest));
    }
    // What push mode has acknowledged since may not be on disk yet, so it goes back even to the position on disk.
    if to < acked || api.push.is_some() {
        let fence = ports.ownership.claim_feed().ok_or_else(not_ours)?;
        let submit = || ports.journal.submit(fence, vec![Change::FeedRewound { to }], CommitPriority::Now);
        let ticket = match &api.push {
            Some(push) => push.rewind(to, submit),
            None => submit(),
        };
        api.acks.rewind();
        ticket.committed().await?;
    }
    Ok(HttpResponse::NoContent().finish())
}
