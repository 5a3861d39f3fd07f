//! Quarantined items and dead letters, events that the messenger refused, and the forms that release or drop them.

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use actors::model::{Millis, Position};
use actors::ports::RefusedRow;
use askama::Template;
use serde::Deserialize;

use crate::admin::answer::{OperatorCall, server};
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{PageHead, PageRefusal, ROWS, ShownTime, page, segment};
use crate::admin::messenger::refused_events;
use crate::admin::quarantine::{filter, find, place, written};
use crate::admin::release::{self, QuarantineAction};
use crate::api::quarantine::QuarantineRow;
use crate::http::bearer::operator_role::OperatorRole;
use crate::http::query;
use crate::runtime::readable_text::size;

/// Maximum number of characters of an item's content on a page.
const BODY_SHOWN: usize = 64 * 1024;

/// Maximum bytes of events on a page.
const EVENT_BYTES: u64 = 1 << 20;

/// Maximum number of characters of an event in the list.
const EVENT_SHOWN: usize = 4 * 1024;

#[derive(Deserialize)]
pub(super) struct QuarantineQuery {
    #[serde(default)]
    server: String,
    after: Option<String>,
    /// Outcome of the form before.
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "quarantine.html", config = "src/admin/dashboard/pages/askama.toml")]
struct QuarantineTablePage {
    head: PageHead,
    server: String,
    /// True: the messenger may have refused events.
    has_events: bool,
    done: &'static str,
    rows: Vec<ParkedLine>,
    previous: Option<String>,
    next: Option<String>,
}

/// An item.
struct ParkedLine {
    server: String,
    server_page: String,
    id: String,
    href: String,
    is_inbound: bool,
    kind: String,
    code: String,
    reason: String,
    time: ShownTime,
    /// Further facts.
    facts: Vec<(&'static str, String)>,
    trace: Option<String>,
    size: String,
}

impl ParkedLine {
    fn of(row: QuarantineRow, now: Millis) -> Self {
        let mut facts = Vec::new();
        if let Some(context) = row.context {
            facts.push(("context", context));
        }
        if let Some(pdu) = row.pdu {
            let part = |part: Option<String>| part.unwrap_or_else(|| "?".to_owned());
            facts.push(("message", format!("{}/{}", part(pdu.origin), part(pdu.pdu_id))));
        }
        if let Some(seq) = row.seq {
            facts.push(("number", seq.to_string()));
        }
        let trace = row.submission.as_deref().map(|id| format!("/trace?id={}", segment(id)));
        if let Some(submission) = row.submission {
            facts.push(("submission", submission));
        }
        Self {
            href: format!("/quarantine/{}/{}", segment(&row.server), segment(&row.id)),
            server_page: format!("/peers/{}", segment(&row.server)),
            server: row.server,
            id: row.id,
            is_inbound: &*row.direction == "in",
            kind: row.kind.into_owned(),
            code: row.code.into_owned(),
            reason: row.reason,
            time: ShownTime::read(&row.time, now),
            facts,
            trace,
            size: size(row.size),
        }
    }
}

/// Returns the sentence for an outcome; a text of somebody else becomes none.
fn sentence(outcome: Option<&str>) -> &'static str {
    match outcome {
        Some("delivered") => "The item was released and delivered.",
        Some("held") => "The item was released; it waits for messages before it.",
        Some("known") => "The item was here already, and left the quarantine.",
        Some("queued") => "The item is queued again.",
        Some("dropped") => "The item was dropped.",
        Some("released") => "The event will be pushed again.",
        _ => "",
    }
}

/// Lists items.
pub(super) async fn list(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    asked: query::QueryParams<QuarantineQuery>,
) -> Result<HttpResponse, PageRefusal> {
    let (api, now) = (&site.api, site.now());
    let name = asked.server.trim().to_owned();
    let of = if name.is_empty() { None } else { Some(server(&api.gateway, &name)?) };
    let after = asked.after.as_deref().map(place).transpose()?;
    let found = api.inspect.parked(filter(of, None, None)?, after, ROWS).await?;
    let next = found.next.map(|next| {
        let server = if name.is_empty() { String::new() } else { format!("&server={}", segment(&name)) };
        format!("/quarantine?after={}{server}", segment(&written(&next)))
    });
    page(&QuarantineTablePage {
        head: PageHead::new(&site, &visitor, "/quarantine"),
        server: name,
        has_events: api.push.is_some(),
        done: sentence(asked.done.as_deref()),
        rows: found.rows.into_iter().map(|row| ParkedLine::of(QuarantineRow::from(row), now)).collect(),
        previous: None,
        next,
    })
}

#[derive(Template)]
#[template(path = "quarantine_item.html", config = "src/admin/dashboard/pages/askama.toml")]
struct QuarantineItemPage {
    head: PageHead,
    item: ParkedLine,
    body: String,
    is_cut: bool,
}

/// Shows one item with its content.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, PageRefusal> {
    // The content is the text of a message.
    visitor.check_role(OperatorRole::Operate)?;
    let mut row = QuarantineRow::from(find(&site.api, &path).await?);
    let text = row.body.take().map(|body| body.get().to_owned()).unwrap_or_default();
    let body: String = text.chars().take(BODY_SHOWN).collect();
    page(&QuarantineItemPage {
        head: PageHead::new(&site, &visitor, "/quarantine"),
        item: ParkedLine::of(row, site.now()),
        is_cut: body.len() < text.len(),
        body,
    })
}

#[derive(Deserialize)]
pub(super) struct QuarantineForm {
    token: String,
    act: String,
    /// A drop is for good, so it has to be confirmed.
    #[serde(default)]
    sure: String,
}

impl QuarantineForm {
    fn action(&self, visitor: &DashboardVisitor) -> Result<QuarantineAction, PageRefusal> {
        let role = if self.act == "release" { OperatorRole::Operate } else { OperatorRole::Administer };
        visitor.check_form(&self.token, role)?;
        match (self.act.as_str(), self.sure.as_str()) {
            ("release", _) => Ok(QuarantineAction::Release),
            ("drop", "yes") => Ok(QuarantineAction::Drop),
            ("drop", _) => {
                let why = "a drop is for good: confirm it by the box beside the button";
                Err(PageRefusal::of(StatusCode::UNPROCESSABLE_ENTITY, why))
            }
            _ => Err(PageRefusal::of(StatusCode::BAD_REQUEST, "an item is released or dropped")),
        }
    }
}

fn back(list: &str, outcome: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, format!("{list}?done={outcome}"))).finish()
}

/// Releases or drops an item.
pub(super) async fn act(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    operator: OperatorCall,
    path: web::Path<(String, String)>,
    web::Form(form): web::Form<QuarantineForm>,
) -> Result<HttpResponse, PageRefusal> {
    let action = form.action(&visitor)?;
    let done = release::one(&site.api, &operator, &path, action).await?;
    Ok(back("/quarantine", &done.outcome))
}

#[derive(Template)]
#[template(path = "quarantine_events.html", config = "src/admin/dashboard/pages/askama.toml")]
struct RefusedEventsPage {
    head: PageHead,
    done: &'static str,
    rows: Vec<RefusedEventLine>,
    previous: Option<String>,
    next: Option<String>,
}

/// An event that the messenger refused.
struct RefusedEventLine {
    position: u64,
    event: String,
    reason: String,
    time: ShownTime,
}

/// Lists the events that the messenger refused.
pub(super) async fn list_events(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    asked: query::QueryParams<QuarantineQuery>,
) -> Result<HttpResponse, PageRefusal> {
    // The events hold texts of messages.
    visitor.check_role(OperatorRole::Operate)?;
    let now = site.now();
    let after = Position(asked.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0));
    let found = site.api.inspect.refused_events(after, ROWS, EVENT_BYTES).await?;
    let line = |RefusedRow { event, time }: RefusedRow| RefusedEventLine {
        position: event.position.0,
        event: String::from_utf8_lossy(&event.bytes).chars().take(EVENT_SHOWN).collect(),
        reason: event.reason,
        time: ShownTime::of(time, now),
    };
    page(&RefusedEventsPage {
        head: PageHead::new(&site, &visitor, "/quarantine"),
        done: sentence(asked.done.as_deref()),
        rows: found.rows.into_iter().map(line).collect(),
        previous: None,
        next: found.next.map(|next| format!("/quarantine/events?after={}", next.0)),
    })
}

/// Releases or drops an event that the messenger refused.
pub(super) async fn act_on_event(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    operator: OperatorCall,
    path: web::Path<String>,
    web::Form(form): web::Form<QuarantineForm>,
) -> Result<HttpResponse, PageRefusal> {
    let api = web::Data::new(site.api.clone());
    let outcome = match form.action(&visitor)? {
        QuarantineAction::Release => refused_events::release(api, operator, path).await.map(|_| "released")?,
        QuarantineAction::Drop => refused_events::drop(api, operator, path).await.map(|_| "dropped")?,
    };
    Ok(back("/quarantine/events", outcome))
}
