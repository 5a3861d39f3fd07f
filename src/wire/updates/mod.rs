//! The updates dialect: numbered pushes to `/http/v1/updates`, answered with `ok`, `hole_detected` or `wait`.

pub mod answer;
pub mod envelope;
mod push;

use std::borrow::Cow;

use actix_web::web::{self, ServiceConfig};
use actors::model::{Answered, OutFrame, PushFailure};
use bytes::Bytes;

use super::Dialect;
use crate::egress::Request;

/// Where pushes go.
pub const UPDATES_PATH: &str = "/http/v1/updates";

/// The dialect.
pub struct Updates;

impl Dialect for Updates {
    fn name(&self) -> &'static str {
        "updates"
    }

    fn routes(&self, config: &mut ServiceConfig) {
        config.service(web::resource([UPDATES_PATH, "/http/v1/updates/"]).route(web::post().to(push::take)));
    }

    fn encode_push(&self, frame: &OutFrame) -> Request {
        Request { path: Cow::Borrowed(UPDATES_PATH), content_type: "application/json", body: envelope::encode(frame) }
    }

    fn decode_answer(&self, body: &Bytes) -> Result<Answered, PushFailure> {
        answer::decode(body)
    }
}
