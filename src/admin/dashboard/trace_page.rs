//! The way of one message: from our messenger to every recipient, or from the server that wrote it to here.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use actors::model::{Millis, PduRef};
use askama::Template;
use serde::Deserialize;

use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{
    PageHead, PageRefusal, ShownState, ShownTime, is_failed_attempt, page_with, segment,
};
use crate::api::messages::{MessageTrace, RecipientTrace};
use crate::http::query;
use crate::messenger::messages::trace::traced;
use crate::runtime::readable_text::{count, size};

/// Maximum number of recipients on the page, and of attempts of each.
const RECIPIENTS: usize = 100;
const ATTEMPTS: usize = 20;

#[derive(Deserialize)]
pub(super) struct TraceQuery {
    #[serde(default)]
    id: String,
}

#[derive(Template)]
#[template(path = "trace.html", config = "src/admin/dashboard/pages/askama.toml")]
struct TracePage {
    head: PageHead,
    id: String,
    /// The reason why nothing is found.
    missing: String,
    submission: Option<TracedSubmission>,
    pdu: Option<TracedPdu>,
}

/// A submission of our messenger and its deliveries.
struct TracedSubmission {
    accepted: ShownTime,
    /// Message that it became: its name, and the page about it.
    pdu: Option<(String, String)>,
    recipients: Vec<RecipientLine>,
    /// Number of recipients that are left out.
    more: usize,
}

/// The delivery to one recipient.
struct RecipientLine {
    server: String,
    href: String,
    state: ShownState,
    via: String,
    reason: String,
    next: ShownTime,
    attempts: Vec<AttemptStep>,
}

/// An attempt.
struct AttemptStep {
    time: ShownTime,
    result: String,
    is_failed: bool,
}

/// A message of a context as it is stored here.
struct TracedPdu {
    origin: String,
    /// True if our messenger wrote it.
    is_own: bool,
    context: String,
    context_page: String,
    is_delivered: bool,
    facts: Vec<(&'static str, String)>,
}

impl RecipientLine {
    fn of(server: String, leg: RecipientTrace, now: Millis) -> Self {
        let skipped = leg.attempts.len().saturating_sub(ATTEMPTS);
        let step = |attempt: crate::api::messages::AttemptRow| AttemptStep {
            time: ShownTime::read(&attempt.time, now),
            is_failed: is_failed_attempt(&attempt.result),
            result: attempt.result,
        };
        Self {
            href: format!("/peers/{}", segment(&server)),
            server,
            state: ShownState::of(&leg.state),
            via: leg.via.unwrap_or_default(),
            reason: match (&*leg.state, leg.reason) {
                // Of what still waits it is the cause of a suspension, in one word.
                ("queued" | "relayed", Some(cause)) => format!("nothing is sent to it: {}", cause.replace('_', " ")),
                (_, reason) => reason.unwrap_or_default(),
            },
            next: ShownTime::read_some(leg.next.as_deref(), now),
            attempts: leg.attempts.into_iter().skip(skipped).map(step).collect(),
        }
    }
}

impl TracedSubmission {
    fn of(trace: MessageTrace, now: Millis) -> Self {
        let pdu = trace.pdu.map(|pdu| format!("{}/{}", pdu.origin, pdu.pdu_id));
        let more = trace.peers.len().saturating_sub(RECIPIENTS);
        let recipients = trace.peers.into_iter().take(RECIPIENTS);
        Self {
            accepted: ShownTime::read(&trace.accepted, now),
            pdu: pdu.map(|name| (format!("/trace?id={}", segment(&name)), name)).map(|(href, name)| (name, href)),
            recipients: recipients.map(|(server, leg)| RecipientLine::of(server, leg, now)).collect(),
            more,
        }
    }
}

/// Finds a message by the name of its server and its id.
async fn pdu(site: &DashboardSite, text: &str) -> Result<Option<TracedPdu>, PageRefusal> {
    let name = text
        .split_once('/')
        .and_then(|(origin, id)| Some(PduRef { origin: origin.parse().ok()?, id: id.parse().ok()? }));
    let Some(reference) = name else { return Ok(None) };
    let ports = site.api.gateway.ports();
    let Some(stored) = ports.archive.contexts.pdu(&reference).await? else { return Ok(None) };
    let mut facts = vec![("depth", count(stored.depth)), ("size", size(stored.bytes.len() as u64))];
    if let Some(to) = &stored.to {
        let names: Vec<&str> = to.iter().take(RECIPIENTS).map(|server| server.as_str()).collect();
        facts.push(("only for", names.join(", ")));
    }
    Ok(Some(TracedPdu {
        is_own: reference.origin == ports.us,
        origin: reference.origin.to_string(),
        context_page: format!("/contexts/{}", segment(stored.context.as_str())),
        context: stored.context.to_string(),
        is_delivered: stored.delivered,
        facts,
    }))
}

/// Shows the form, and the trace of the id if there is one.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    asked: query::QueryParams<TraceQuery>,
) -> Result<HttpResponse, PageRefusal> {
    let id = asked.id.trim().to_owned();
    let head = PageHead::new(&site, &visitor, "/trace");
    let mut trace = TracePage { head, id, missing: String::new(), submission: None, pdu: None };
    let mut status = StatusCode::OK;
    if !trace.id.is_empty() {
        trace.pdu = pdu(&site, &trace.id).await?;
        if trace.pdu.is_none() {
            match traced(&site.api.gateway, &trace.id).await {
                Ok(found) => trace.submission = Some(TracedSubmission::of(found, site.now())),
                Err(error) if error.status() == StatusCode::NOT_FOUND => {
                    status = StatusCode::NOT_FOUND;
                    trace.missing = "There is neither a submission nor a message with this id.".to_owned();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    page_with(status, &trace)
}
