//! The operations of the feed.

use serde_json::json;

use super::BODY;
use crate::api::feed::EventsPage;
use crate::api::requests::{AckRequest, RewindRequest};
use crate::messenger::events::get::EventsQuery;
use crate::messenger::{events, ping};
use crate::openapi::api_operation::{ApiOperation, plain_text};
use crate::openapi::refusals::{EVERY, FEED_OWNER, QUERY, RefusalSet, TOKEN, UNAVAILABLE};
use crate::openapi::schema_book::reference;

const POSITION: RefusalSet = &[(410, &["GONE"]), (422, &["BEYOND_TAIL"])];

/// The answers of a read: a page, or a stream.
const EVENTS: &str = "A page of events; or with `Accept: text/event-stream` a stream of them: `id` is the position, `event` the kind, \
    `data` the event. A stream begins with an event `reset` if its position is not kept, and also shows ephemeral items.";

pub(super) fn operations() -> Vec<ApiOperation> {
    let text = json!({ "type": "string" });
    vec![
        ApiOperation::get("/events", "Read the feed, by page or as a stream.", |route| route.to(events::get::get))
            .query::<EventsQuery>()
            .parameter(
                "header",
                "Last-Event-ID",
                "Of a stream: the position to resume after, a decimal number. It wins over `after`.",
                &text,
            )
            .answers_in(
                200,
                EVENTS,
                vec![("application/json", reference::<EventsPage>), ("text/event-stream", plain_text)],
            )
            .refuses(&[EVERY, TOKEN, QUERY, UNAVAILABLE, POSITION, &[(409, &["PUSH_ON"]), (429, &["TOO_MANY_READS"])]]),
        ApiOperation::post("/events/ack", "Acknowledge all events up to a position.", |route| {
            route.to(events::ack::post)
        })
        .body::<AckRequest>(json!({ "upto": 1 }))
        .answers_nothing(204, "They are acknowledged, and may be forgotten after `feed.retain`.")
        .refuses(&[
            EVERY,
            TOKEN,
            BODY,
            UNAVAILABLE,
            FEED_OWNER,
            &[(409, &["PUSH_ON"]), (422, &["BEYOND_TAIL"])],
        ]),
        ApiOperation::post("/events/rewind", "Take acknowledgements back.", |route| route.to(events::rewind::post))
            .body::<RewindRequest>(json!({ "to": 0 }))
            .answers_nothing(204, "The events after the position count as unread.")
            .refuses(&[EVERY, TOKEN, BODY, UNAVAILABLE, FEED_OWNER, POSITION, &[(422, &["NOT_BEHIND"])]]),
        ApiOperation::post("/ping", "Say that the messenger is back.", |route| route.to(ping::post))
            .answers_nothing(204, "A delay of push mode has ended.")
            .refuses(&[EVERY, TOKEN, UNAVAILABLE]),
    ]
}
