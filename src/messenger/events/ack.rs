//! `POST /v1/events/ack`: acknowledges all events up to a position.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use actors::change::Change;
use actors::model::Position;
use actors::ports::{CommitPriority, FeedBounds};
use bytes::Bytes;

use crate::api::requests::AckRequest;
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::messenger::MessengerApi;
use crate::messenger::answer::{not_ours, unreadable_body};

/// Commits an acknowledgement, and responds after the commit.
pub(crate) async fn post(api: web::Data<MessengerApi>, body: Result<Bytes, Error>) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    if api.push.is_some() {
        return Err(push_on());
    }
    let ports = api.gateway.ports();
    let bounds = *ports.archive.feed.feed_bounds().borrow();
    if let Some(upto) = parse_ack(&body, bounds)? {
        let fence = ports.ownership.claim_feed().ok_or_else(not_ours)?;
        ports.journal.submit(fence, vec![Change::FeedAcked { upto }], CommitPriority::Now).committed().await?;
    }
    Ok(HttpResponse::NoContent().finish())
}

fn push_on() -> ApiError {
    let words = "push mode is on (messenger.push.url): the 2xx to a pushed batch acknowledges it";
    ApiError::new(StatusCode::CONFLICT, "PUSH_ON", words)
}

/// Returns the position to acknowledge; `None` if it is acknowledged on disk already.
fn parse_ack(body: &[u8], bounds: FeedBounds) -> Result<Option<Position>, ApiError> {
    let ack: AckRequest = json_error::object(body)
        .map_err(|why| ApiError::bad_request("BAD_JSON", format!("the body is not {{\"upto\":N}}: {why}")))?;
    let (upto, tail) = (Position(ack.upto), bounds.tail);
    if upto > tail {
        return Err(ApiError::beyond_tail(upto, tail));
    }
    Ok((upto > bounds.acked).then_some(upto))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_only_moves_forward() {
        let bounds = FeedBounds { tail: Position(9), acked: Position(4), skipped: 0 };
        let moves = |body: &str| parse_ack(body.as_bytes(), bounds);
        assert_eq!(moves(r#"{"upto":9}"#), Ok(Some(Position(9))));
        assert_eq!(moves(r#"{"upto":5}"#), Ok(Some(Position(5))));
        assert_eq!(moves(r#"{"upto":4}"#), Ok(None), "a repeat");
        assert_eq!(moves(r#"{"upto":0}"#), Ok(None), "never back");
        let beyond = moves(r#"{"upto":10}"#).expect_err("beyond");
        assert_eq!(beyond, ApiError::beyond_tail(Position(10), Position(9)));
        for bad in ["", "{}", "9", r#"{"upto":-1}"#, r#"{"upto":1.5}"#, r#"{"upto":1,"up_to":2}"#] {
            let refused = moves(bad).expect_err(bad);
            assert_eq!(actix_web::ResponseError::status_code(&refused).as_u16(), 400, "{bad}");
        }
    }
}
