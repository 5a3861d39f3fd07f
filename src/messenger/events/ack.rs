//! `POST /v1/events/ack`: acknowledges all events up to a position.

use actix_web::http::StatusCode;
use actix_web::{Error, HttpResponse, web};
use actors::model::Position;
use actors::ports::FeedBounds;
use bytes::Bytes;

use crate::api::requests::AckRequest;
use crate::http::error::ApiError;
use crate::http::json_error;
use crate::messenger::MessengerApi;
use crate::messenger::answer::{not_ours, unreadable_body};

/// Accepts an acknowledgement, which is on disk within 100 ms of the response.
pub(crate) async fn post(api: web::Data<MessengerApi>, body: Result<Bytes, Error>) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    if api.push.is_some() {
        return Err(push_on());
    }
    let ports = api.gateway.ports();
    let bounds = *ports.archive.feed.feed_bounds().borrow();
    acknowledge(&api, parse_ack(&body, bounds)?, bounds)?;
    Ok(HttpResponse::NoContent().finish())
}

/// Acknowledges everything up to a position that the feed has.
pub(super) fn acknowledge(api: &MessengerApi, upto: Position, bounds: FeedBounds) -> Result<(), ApiError> {
    let ports = api.gateway.ports();
    let fence = ports.ownership.claim_feed().ok_or_else(not_ours)?;
    api.acks.advance(upto, bounds, &*ports.journal, fence);
    Ok(())
}

/// Returns the refusal of an acknowledgement in push mode.
pub(super) fn push_on() -> ApiError {
    let words = "push mode is on (messenger.push.url): the 2xx to a pushed batch acknowledges it";
    ApiError::new(StatusCode::CONFLICT, "PUSH_ON", words)
}

/// Returns the position to acknowledge.
fn parse_ack(body: &[u8], bounds: FeedBounds) -> Result<Position, ApiError> {
    let ack: AckRequest = json_error::object(body)
        .map_err(|why| ApiError::bad_request("BAD_JSON", format!("the body is not {{\"upto\":N}}: {why}")))?;
    let (upto, tail) = (Position(ack.upto), bounds.tail);
    if upto > tail {
        return Err(ApiError::beyond_tail(upto, tail));
    }
    Ok(upto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ack_names_kept_position() {
        let bounds = FeedBounds { tail: Position(9), acked: Position(4), skipped: 0 };
        let moves = |body: &str| parse_ack(body.as_bytes(), bounds);
        assert_eq!(moves(r#"{"upto":9}"#), Ok(Position(9)));
        assert_eq!(moves(r#"{"upto":0}"#), Ok(Position(0)));
        let beyond = moves(r#"{"upto":10}"#).expect_err("beyond");
        assert_eq!(beyond, ApiError::beyond_tail(Position(10), Position(9)));
        for bad in ["", "{}", "9", r#"{"upto":-1}"#, r#"{"upto":1.5}"#, r#"{"upto":1,"up_to":2}"#] {
            let refused = moves(bad).expect_err(bad);
            assert_eq!(actix_web::ResponseError::status_code(&refused).as_u16(), 400, "{bad}");
        }
    }
}
