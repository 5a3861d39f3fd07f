//! `/admin/v1/flow`: the flow of items, minute by minute over the last day.

use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::admin::AdminApi;
use crate::api::health::flow::{FlowReport, FlowRow};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;
use crate::telemetry::flow_history::MinuteFlow;

/// Default number of minutes.
const MINUTES_DEFAULT: u32 = 60;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct FlowQuery {
    /// Number of minutes, 60 if it is absent. More than 1,440 are 1,440.
    minutes: Option<u32>,
}

impl From<MinuteFlow> for FlowRow {
    fn from(flow: MinuteFlow) -> Self {
        let counts = flow.counts;
        Self {
            minute: rfc3339(flow.begin),
            accepted: counts.accepted,
            delivered: counts.delivered,
            failed: counts.failed,
            received: counts.received,
            quarantined: counts.quarantined,
        }
    }
}

/// Returns the counts of the last minutes.
pub(in crate::admin) async fn get(
    api: web::Data<AdminApi>,
    asked: query::QueryParams<FlowQuery>,
) -> Result<HttpResponse, ApiError> {
    let now = api.gateway.ports().clock.now();
    let count = asked.minutes.unwrap_or(MINUTES_DEFAULT) as usize;
    let minutes = api.flow.last_minutes(now, count).into_iter().map(FlowRow::from).collect();
    Ok(HttpResponse::Ok().json(FlowReport { time: rfc3339(now), minutes }))
}
