//! The peers with their queues, and one peer with its limits, its last attempts and the commands for it.

use std::cmp::Reverse;
use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use actors::model::{Index, Millis, PeerCommand, PeerQueueSize, ServerName};
use askama::Template;
use serde::Deserialize;

use crate::admin::answer::{OperatorCall, peer};
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{
    PageHead, PageRefusal, ROWS, ShownState, ShownTime, is_failed_attempt, page, segment,
};
use crate::admin::peer_commands::commanded;
use crate::api::peers::PeerDetails;
use crate::http::bearer::operator_role::OperatorRole;
use crate::http::query;
use crate::messenger::peers::{status, statuses};
use crate::runtime::readable_text::{count, counted, items, size};
use crate::settings::ValueOrigin;

/// Number of attempts on the page of a peer.
const ATTEMPTS: usize = 20;

/// Acknowledged items before the oldest pending one whose attempts are looked for.
const ITEMS_BACK: u64 = 100;

#[derive(Deserialize)]
pub(super) struct PeersQuery {
    /// Number of rows before the page.
    #[serde(default)]
    from: usize,
    /// Part of the names that are wanted.
    #[serde(default)]
    name: String,
}

#[derive(Template)]
#[template(path = "peers.html", config = "src/admin/dashboard/pages/askama.toml")]
struct PeersPage {
    head: PageHead,
    name: String,
    total: String,
    rows: Vec<ShownPeer>,
    previous: Option<String>,
    next: Option<String>,
}

/// A peer in the list.
struct ShownPeer {
    server: String,
    href: String,
    state: ShownState,
    since: ShownTime,
    backlog: String,
    /// The backlog in words.
    backlog_items: String,
    bytes: String,
    oldest: ShownTime,
    next_attempt: ShownTime,
    failures: String,
    last_error: String,
}

impl ShownPeer {
    fn of(peer: PeerDetails, now: Millis) -> Self {
        let time = |text: &Option<String>| ShownTime::read_some(text.as_deref(), now);
        Self {
            href: format!("/peers/{}", segment(&peer.server)),
            state: ShownState::of_peer(&peer),
            since: ShownTime::read(&peer.since, now),
            backlog: count(peer.backlog),
            backlog_items: items(peer.backlog),
            bytes: if peer.backlog > 0 { size(peer.backlog_bytes) } else { String::new() },
            oldest: time(&peer.oldest_unacknowledged),
            next_attempt: time(&peer.next_attempt),
            failures: if peer.failures > 0 { counted(peer.failures, "failure") } else { String::new() },
            last_error: peer.last_error.unwrap_or_default(),
            server: peer.server,
        }
    }
}

/// Returns the peers whose names contain a text, those with most pending items first. No actor is asked.
fn by_backlog(site: &DashboardSite, name: &str) -> Vec<ServerName> {
    let gateway = &site.api.gateway;
    let in_memory = gateway.peer_queues();
    let queues: HashMap<&ServerName, &PeerQueueSize> = in_memory.iter().map(|queue| (&queue.server, queue)).collect();
    let mut servers: Vec<ServerName> =
        gateway.peers().into_iter().filter(|server| server.as_str().contains(name)).collect();
    let rank = |server: &ServerName| {
        queues.get(server).map_or((0, false), |queue| (queue.backlog, queue.state == "suspended"))
    };
    servers.sort_by_cached_key(|server| (Reverse(rank(server)), server.clone()));
    servers
}

/// Lists the peers.
pub(super) async fn list(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    asked: query::QueryParams<PeersQuery>,
) -> Result<HttpResponse, PageRefusal> {
    let now = site.now();
    let PeersQuery { from, name } = asked.into_inner();
    let servers = by_backlog(&site, name.trim());
    let (total, rows) = (servers.len(), ROWS as usize);
    let shown: Vec<ServerName> = servers.into_iter().skip(from).take(rows).collect();
    let href = |from: usize| match name.is_empty() {
        true => format!("/peers?from={from}"),
        false => format!("/peers?from={from}&name={}", segment(&name)),
    };
    let next = (from.saturating_add(rows) < total).then(|| href(from.saturating_add(rows)));
    let previous = (from > 0).then(|| href(from.saturating_sub(rows)));
    // A peer may have gone since the list was made.
    let asked = statuses(&site.api.gateway, shown, true).await.into_iter().filter_map(|(_, status)| status.ok());
    let rows = asked.map(|status| ShownPeer::of(PeerDetails::from(status), now)).collect();
    let head = PageHead::new(&site, &visitor, "/peers");
    page(&PeersPage { head, name, total: count(total as u64), rows, previous, next })
}

#[derive(Template)]
#[template(path = "peer.html", config = "src/admin/dashboard/pages/askama.toml")]
struct PeerPage {
    head: PageHead,
    peer: ShownPeer,
    /// Path of the list of its quarantined items.
    quarantine: String,
    is_suspended: bool,
    last_success: ShownTime,
    /// Further facts.
    facts: Vec<(&'static str, String)>,
    attempts: Vec<AttemptLine>,
    limits: Vec<LimitLine>,
}

/// An attempt.
struct AttemptLine {
    time: ShownTime,
    is_failed: bool,
    result: String,
    items: String,
}

/// A limit in force.
struct LimitLine {
    key: String,
    value: String,
    /// Place that sets it.
    from: String,
    is_default: bool,
}

/// Returns the place that sets a value, for people.
fn origin_text(origin: &ValueOrigin, profile: &str) -> String {
    match origin {
        ValueOrigin::Default => "default".to_owned(),
        ValueOrigin::Profile => format!("profile {profile}"),
        ValueOrigin::Peers => "peers.default".to_owned(),
        ValueOrigin::Pattern(pattern) => format!("peers.pattern.\"{pattern}\""),
        ValueOrigin::Server => "peers.server".to_owned(),
    }
}

/// Shows a peer.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    path: web::Path<String>,
) -> Result<HttpResponse, PageRefusal> {
    let (api, now) = (&site.api, site.now());
    let server = peer(&api.gateway, &path)?;
    let status = status(&api.gateway, &server).await?;
    let acked = status.acked;
    let details = PeerDetails::from(status).described(api.settings.as_ref(), &api.clocks);
    let settings = api.settings.as_ref().and_then(|settings| settings.peers().peer(&server));
    let mut facts = Vec::new();
    let mut limits = Vec::new();
    if let Some(configured) = &details.configured {
        facts.push(("dialect", format!("{} (profile {})", configured.dialect, configured.profile)));
        facts.extend(configured.addresses.iter().map(|address| ("address", address.clone())));
        let origins: HashMap<&str, &ValueOrigin> =
            settings.iter().flat_map(|peer| peer.origins.iter()).map(|(key, origin)| (*key, origin)).collect();
        limits.extend(configured.limits.iter().map(|(key, value)| {
            let origin = origins.get(key.as_str()).copied().unwrap_or(&ValueOrigin::Default);
            LimitLine {
                key: key.clone(),
                value: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                from: origin_text(origin, &configured.profile),
                is_default: *origin == ValueOrigin::Default,
            }
        }));
        // What somebody has set comes first.
        limits.sort_by_key(|limit| limit.is_default);
    }
    if let Some(next) = details.next_seq {
        facts.push(("sends next", format!("update {}", count(next))));
    }
    if details.expected_seq > 0 {
        facts.push(("expects next", format!("update {}", count(details.expected_seq))));
    }
    if let Some(skew_ms) = details.clock_skew_ms {
        facts.push(("clock less ours", format!("{skew_ms} ms")));
    }
    if let Some(code) = &details.last_code {
        facts.push(("code of the last error", code.clone()));
    }
    page(&PeerPage {
        head: PageHead::new(&site, &visitor, "/peers"),
        quarantine: format!("/quarantine?server={}", segment(server.as_str())),
        is_suspended: &*details.state == "suspended",
        last_success: ShownTime::read_some(details.last_success.as_deref(), now),
        attempts: attempts(&site, &server, acked).await?,
        peer: ShownPeer::of(details, now),
        facts,
        limits,
    })
}

async fn attempts(site: &DashboardSite, server: &ServerName, acked: Index) -> Result<Vec<AttemptLine>, PageRefusal> {
    let first = Index(acked.0.saturating_sub(ITEMS_BACK) + 1);
    let mut attempts = site.api.gateway.ports().archive.peers.attempts(server, first, Index(u64::MAX)).await?;
    attempts.sort_by_key(|attempt| Reverse(attempt.time));
    let line = |attempt: actors::model::Attempt| AttemptLine {
        time: ShownTime::of(attempt.time, site.now()),
        is_failed: is_failed_attempt(&attempt.result),
        items: items(attempt.last.since(attempt.first) + 1),
        result: attempt.result,
    };
    Ok(attempts.into_iter().take(ATTEMPTS).map(line).collect())
}

#[derive(Deserialize)]
pub(super) struct PeerForm {
    token: String,
    act: String,
}

/// Runs a command for a peer, and shows the peer again.
pub(super) async fn act(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    operator: OperatorCall,
    path: web::Path<String>,
    web::Form(form): web::Form<PeerForm>,
) -> Result<HttpResponse, PageRefusal> {
    visitor.check_form(&form.token, OperatorRole::Operate)?;
    let (order, what) = match form.act.as_str() {
        "suspend" => (PeerCommand::Suspend, "peer.suspend"),
        "resume" => (PeerCommand::Resume, "peer.resume"),
        "retry" => (PeerCommand::Retry, "peer.retry"),
        _ => return Err(PageRefusal::of(StatusCode::BAD_REQUEST, "there is no such command for a peer")),
    };
    commanded(&site.api, &operator, &path, order, what).await?;
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, format!("/peers/{}", segment(&path)))).finish())
}
