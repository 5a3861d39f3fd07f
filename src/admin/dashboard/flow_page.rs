//! The flow of items: the last hour by the minute, and the last day.

use actix_web::{HttpResponse, web};
use askama::Template;

use crate::admin::dashboard::charts::flow_chart::{FlowChart, FlowSeries};
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{PageHead, PageRefusal, page};
use crate::runtime::readable_text::count;
use crate::telemetry::flow_history::{FlowCounts, MINUTES_KEPT, MinuteFlow};

/// Minutes of the first charts.
const HOUR: usize = 60;

/// Minutes in a bar of the last day.
const DAY_BAR: usize = 10;

#[derive(Template)]
#[template(path = "flow.html", config = "src/admin/dashboard/pages/askama.toml")]
struct FlowPage {
    head: PageHead,
    hour: [FlowChart; 2],
    day: [FlowChart; 2],
    sums: Vec<FlowSum>,
}

/// The numbers of a time, as texts.
struct FlowSum {
    name: &'static str,
    accepted: String,
    delivered: String,
    failed: String,
    received: String,
    quarantined: String,
}

fn charts(minutes: &[MinuteFlow], per_bar: usize) -> [FlowChart; 2] {
    [FlowSeries::Items, FlowSeries::Trouble].map(|series| FlowChart::of(minutes, per_bar, series))
}

fn sum(name: &'static str, minutes: &[MinuteFlow]) -> FlowSum {
    let mut sum = FlowCounts::default();
    minutes.iter().for_each(|minute| sum.add(minute.counts));
    FlowSum {
        name,
        accepted: count(sum.accepted),
        delivered: count(sum.delivered),
        failed: count(sum.failed),
        received: count(sum.received),
        quarantined: count(sum.quarantined),
    }
}

/// Shows the flow.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
) -> Result<HttpResponse, PageRefusal> {
    let day = site.api.flow.last_minutes(site.now(), MINUTES_KEPT);
    let hour = &day[day.len() - HOUR..];
    let last = &day[day.len() - 1..];
    page(&FlowPage {
        head: PageHead::new(&site, &visitor, "/flow").refreshing(),
        hour: charts(hour, 1),
        day: charts(&day, DAY_BAR),
        sums: vec![sum("this minute", last), sum("last hour", hour), sum("last day", &day)],
    })
}
