//! `/admin/v1/events`: the messenger's feed as operators read it. A read moves nothing.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};
use actors::model::Position;
use actors::ports::FeedPage;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};

use crate::admin::AdminApi;
use crate::admin::answer::page;
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::RETRY_AFTER_DEFAULT;
use crate::messenger::events::get::something_follows;
use crate::messenger::events::render::render;

/// Maximum bytes of events in a page; a larger event is a page of its own.
const PAGE_BYTES: u64 = 4 << 20;

/// Maximum wait in seconds.
const WAIT_MAX: u64 = 60;

/// Maximum number of reads that wait at the same time.
const WAITING_MAX: usize = 16;

/// The reads that wait for an event, of all gateways of the process.
static WAITING: Semaphore = Semaphore::const_new(WAITING_MAX);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct FeedTailQuery {
    /// Position after which to read; if it is absent, the newest one.
    after: Option<u64>,
    /// Number of events, 100 if it is absent. More than 1,000 are 1,000.
    limit: Option<u32>,
    /// Seconds to wait for an event, 0 if it is absent. More than 60 are 60.
    wait: Option<u64>,
}

/// Returns a page of events.
pub(in crate::admin) async fn get(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<FeedTailQuery>,
) -> Result<HttpResponse, ApiError> {
    let feed = &*api.gateway.ports().archive.feed;
    let tail = feed.feed_bounds().borrow().tail;
    let after = asked.after.map_or(tail, Position);
    if after > tail {
        return Err(ApiError::beyond_tail(after, tail));
    }
    let wait = Duration::from_secs(asked.wait.unwrap_or(0).min(WAIT_MAX));
    let _waiting = match wait.is_zero() {
        true => None,
        false => Some(WAITING.try_acquire().map_err(|_| too_many())?),
    };
    // The stop of the admin listener waits for no request, so nothing has to end this one.
    let (_running, stopping) = watch::channel(false);
    let entries = match something_follows(after, feed.feed_bounds(), wait, stopping).await {
        false => Vec::new(),
        true => match feed.feed_after(after, page(asked.limit), PAGE_BYTES).await? {
            FeedPage::Gone { oldest } => return Err(ApiError::gone(oldest)),
            FeedPage::Entries(entries) => entries,
        },
    };
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(render(after, &entries)?))
}

fn too_many() -> ApiError {
    let words = format!("{WAITING_MAX} reads of operators wait for an event already; read without wait");
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_READS", words).retry_after(RETRY_AFTER_DEFAULT)
}
