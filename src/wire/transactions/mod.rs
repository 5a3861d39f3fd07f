//! The transactions dialect: PDUs and ephemeral items in `PUT /matrix/federation/v1/send/..`, and the GETs beside it.

pub mod answer;
mod backfill;
pub mod envelope;
pub mod fetch;
mod pull;
mod raw_path;
mod read;
mod send;
mod state;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use actors::limits::Habits;
use actors::model::{Answered, Item, Label, OutFrame, PushFailure, ServerName};
use bytes::Bytes;

use super::{Dialect, resource};
use crate::egress::{Answer, Request};

/// Where all paths begin.
pub const PREFIX: &str = "/matrix/federation/v1";

/// The most bytes of an answer that are read for the trace: verdicts on the largest batch.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The dialect.
pub struct Transactions;

impl Dialect for Transactions {
    fn name(&self) -> &'static str {
        "transactions"
    }

    fn routes(&self, config: &mut ServiceConfig) {
        let with_and_without_slash = |path: &str| vec![format!("{PREFIX}{path}/"), format!("{PREFIX}{path}")];
        let send = resource(with_and_without_slash("/send/{id}"));
        let pdu = resource(with_and_without_slash("/pdu/{origin}/{id}"));
        config.service(send.route(web::put().to(send::take)));
        config.service(pdu.route(web::get().to(read::pdu)));
        let pull = resource(with_and_without_slash("/pull"));
        config.service(pull.route(web::get().to(pull::pull)));
        let state = resource(with_and_without_slash("/state/{context}"));
        config.service(state.route(web::get().to(state::state)));
        let names = ["/backfill/{context}", "/paginate/{context}"];
        let backfill = resource(names.into_iter().flat_map(with_and_without_slash).collect());
        config.service(backfill.route(web::get().to(backfill::backfill)));
    }

    /// An update that was queued while the peer was spoken to in updates has no form here. It is refused like something the
    /// peer refuses: leaving it out would lose it in silence, for the answer to the rest would count for it, too.
    fn encode_push(&self, us: &ServerName, frame: &OutFrame, habits: Habits) -> Result<Request, PushFailure> {
        if frame.items.iter().any(|item| matches!(item, Item::Update(_))) {
            let reason = "an update without a context cannot go to a peer of the transactions dialect; set its dialect to \
                          \"updates\" until its queue is empty";
            return Err(PushFailure::Refused { status: 422, reason: reason.to_owned() });
        }
        let id = match frame.label {
            Label::Transaction { id, .. } => id,
            Label::Numbers { last, .. } => last.0,
        };
        let path = format!("{PREFIX}/send/{id}/");
        let answer = Answer::StatusDecides { bytes_max: ANSWER_BYTES_MAX };
        Ok(Request::put(path, envelope::encode(us, frame, habits.pairs), answer))
    }

    /// Nobody: servers of 2014 never send again what they got any refusal for. It is taken like what was under way.
    fn later(&self, _: &str) -> Option<HttpResponse> {
        None
    }

    /// Taken, whatever it says: servers answer `null`, a list, an object or nothing.
    fn decode_answer(&self, frame: &OutFrame, body: &Bytes) -> Result<Answered, PushFailure> {
        Ok(answer::decode(frame, body))
    }
}
