//! `GET /matrix/federation/v1/state/{context}/`: the state PDUs that hold, for those who take part in the conversation.

use actix_web::{HttpRequest, HttpResponse, web};

use super::read::{self, reply, unreadable};
use crate::http::identity::Caller;
use crate::http::refusal::Problem;
use crate::wire::Intake;

/// Bytes of PDUs in one answer: less than any asker reads. What does not fit is left out, and is asked for as a link of what
/// follows it.
const BYTES_MAX: u64 = 8 << 20;

/// Answer with all of it; losers are left out, and where nothing was ever set the list is empty.
pub(super) async fn state(
    caller: Caller,
    request: HttpRequest,
    path: web::Path<String>,
    intake: web::Data<dyn Intake>,
) -> Result<HttpResponse, Problem> {
    let context = read::context(&caller, &request, &path, &**intake)?;
    let pdus = intake.state(&context, BYTES_MAX).await.map_err(|error| unreadable(&error))?;
    Ok(reply(&**intake, &caller.server, pdus))
}
