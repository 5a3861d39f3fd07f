//! The first page: is the gateway well, and what to do if it is not.

use actix_web::{HttpResponse, web};
use askama::Template;

use crate::admin::dashboard::charts::flow_chart::{FlowChart, FlowSeries};
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{PageHead, PageRefusal, ShownState, ShownTime, TextPart, page, segment};
use crate::admin::status;
use crate::api::health::status::{ListenerRow, StatusProblem};
use crate::runtime::readable_text::{count, size};

/// Minutes of the chart.
const HOUR: usize = 60;

#[derive(Template)]
#[template(path = "overview.html", config = "src/admin/dashboard/pages/askama.toml")]
struct OverviewPage {
    head: PageHead,
    is_ready: bool,
    version: String,
    started: ShownTime,
    backlog: String,
    unread: String,
    disk_free: String,
    disk_min_free: String,
    /// Peers in memory by state; a state without peers is left out.
    peers: Vec<(ShownState, String)>,
    problems: Vec<ProblemCard>,
    has_more_problems: bool,
    flow: FlowChart,
    listeners: Vec<ListenerRow>,
    certificates: Vec<CertificateLine>,
}

/// A problem.
struct ProblemCard {
    what: String,
    why: String,
    fix: Vec<TextPart>,
    /// Path of the page about it, if there is one.
    page: Option<String>,
}

/// A certificate.
struct CertificateLine {
    subject: String,
    ends: ShownTime,
    is_near: bool,
}

/// Days before its end from which a certificate is marked.
const NEAR_DAYS: i64 = 14;

/// Shows the overview.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
) -> Result<HttpResponse, PageRefusal> {
    let (report, now) = (status::report(&site.api).await, site.now());
    let listed = |what: &str| what.parse().is_ok_and(|name| site.api.gateway.ports().roster.limits(&name).is_some());
    let problems = report.problems.into_iter().map(|StatusProblem { what, why, fix }| {
        let page = listed(&what).then(|| format!("/peers/{}", segment(&what)));
        ProblemCard { what, why, fix: TextPart::split(&fix), page }
    });
    let certificates = report.certificates.into_iter().map(|certificate| CertificateLine {
        subject: certificate.subject.into_owned(),
        ends: ShownTime::read(&certificate.ends, now),
        is_near: certificate.days < NEAR_DAYS,
    });
    let peers = report.peers.into_iter().filter(|(_, peers)| *peers > 0);
    page(&OverviewPage {
        head: PageHead::new(&site, &visitor, "/").refreshing(),
        is_ready: report.ready,
        version: report.version.into_owned(),
        started: ShownTime::read(&report.started, now),
        backlog: count(report.backlog),
        unread: count(report.unread),
        disk_free: report.disk_free.map_or_else(|| "unknown".to_owned(), size),
        disk_min_free: size(report.disk_min_free),
        peers: peers.map(|(state, peers)| (ShownState::of(&state), count(peers))).collect(),
        problems: problems.collect(),
        has_more_problems: report.more_problems,
        flow: FlowChart::of(&site.api.flow.last_minutes(now, HOUR), 1, FlowSeries::Items),
        listeners: report.listeners,
        certificates: certificates.collect(),
    })
}
