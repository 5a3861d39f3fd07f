//! The contexts, and one context with its graph and its gaps.

use actix_web::{HttpResponse, web};
use actors::model::{ContextStatus, FeedPdu, Millis, PduRef};
use askama::Template;
use serde::Deserialize;

use crate::admin::contexts::listed;
use crate::admin::dashboard::charts::context_graph::{GraphDrawing, GraphMessage};
use crate::admin::dashboard::dashboard_site::{DashboardSite, DashboardVisitor};
use crate::admin::dashboard::page_parts::{PageHead, PageRefusal, ROWS, ShownTime, page, segment};
use crate::api::contexts::ContextPageRow;
use crate::http::query;
use crate::json::canonical::split_object;
use crate::messenger::contexts::context::known;
use crate::runtime::readable_text::count;

/// Number of messages in a graph.
const GRAPH_MESSAGES: u32 = 60;

/// Maximum bytes of the messages that are read for a graph.
const GRAPH_BYTES: u64 = 2 << 20;

/// Maximum number of participants and of missing messages that are named.
const NAMES_SHOWN: usize = 50;

/// Number of characters of an id that are shown where there is little room.
const ID_SHOWN: usize = 8;

#[derive(Deserialize)]
pub(super) struct ContextsQuery {
    after: Option<String>,
    /// True: only contexts with gaps or waiting messages.
    #[serde(default)]
    gaps: bool,
}

#[derive(Template)]
#[template(path = "contexts.html", config = "src/admin/dashboard/pages/askama.toml")]
struct ContextsPage {
    head: PageHead,
    only_gaps: bool,
    rows: Vec<ContextLine>,
    previous: Option<String>,
    next: Option<String>,
}

/// A context in the list.
struct ContextLine {
    context: String,
    href: String,
    participants: String,
    heads: String,
    depth: String,
    held: String,
    gaps: String,
    is_troubled: bool,
    last: ShownTime,
}

impl ContextLine {
    fn of(row: ContextPageRow, now: Millis) -> Self {
        Self {
            href: format!("/contexts/{}", segment(&row.context)),
            participants: named(&row.participants),
            heads: count(row.heads),
            depth: count(row.depth),
            held: count(row.held),
            gaps: count(row.gaps),
            is_troubled: row.held + row.gaps > 0,
            last: ShownTime::read_some(row.last.as_deref(), now),
            context: row.context,
        }
    }
}

/// Returns a list of names as text, cut after some of them.
fn named(names: &[String]) -> String {
    const NAMED: usize = 6;
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Lists the contexts. A page with a filter looks at as many contexts as one without.
pub(super) async fn list(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    asked: query::QueryParams<ContextsQuery>,
) -> Result<HttpResponse, PageRefusal> {
    let (now, only_gaps) = (site.now(), asked.gaps);
    let found = listed(&site.api, asked.after.as_deref(), ROWS).await?;
    let mut rows: Vec<ContextLine> = found.contexts.into_iter().map(|row| ContextLine::of(row, now)).collect();
    rows.retain(|row| row.is_troubled || !only_gaps);
    let filter = if only_gaps { "&gaps=true" } else { "" };
    let next = found.next.map(|next| format!("/contexts?after={}{filter}", segment(&next)));
    let head = PageHead::new(&site, &visitor, "/contexts");
    page(&ContextsPage { head, only_gaps, rows, previous: None, next })
}

#[derive(Deserialize)]
pub(super) struct GraphQuery {
    /// Place in the timeline before which the graph ends.
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "context.html", config = "src/admin/dashboard/pages/askama.toml")]
struct ContextGraphPage {
    head: PageHead,
    context: String,
    participants: String,
    facts: Vec<(&'static str, String)>,
    /// Missing messages, with their children.
    gaps: Vec<(String, String)>,
    /// Missing messages that are being fetched.
    wanted: Vec<String>,
    graph: GraphDrawing,
    messages: Vec<MessageLine>,
    previous: Option<String>,
    next: Option<String>,
}

/// A message in the list below the graph.
struct MessageLine {
    id: String,
    short: String,
    href: String,
    origin: String,
    kind: String,
    written: ShownTime,
    sender: String,
    verified: String,
    flags: String,
}

/// Returns the members of a PDU that the page shows: type, time and parents.
fn pdu_parts(bytes: &[u8]) -> (String, Millis, Vec<[String; 2]>) {
    let (mut kind, mut time, mut parents) = (String::new(), Millis(0), Vec::new());
    for (name, value) in split_object(bytes).unwrap_or_default() {
        let text = value.get();
        match &*name {
            "pdu_type" => kind = serde_json::from_str(text).unwrap_or_default(),
            "ts" => time = Millis(serde_json::from_str(text).unwrap_or_default()),
            "prev_pdus" => {
                let pairs: Vec<(String, String)> = serde_json::from_str(text).unwrap_or_default();
                parents
                    .extend(pairs.into_iter().map(|(one, other)| [format!("{one}/{other}"), format!("{other}/{one}")]));
            }
            _ => {}
        }
    }
    (kind, time, parents)
}

fn flags(fed: &FeedPdu) -> String {
    let shown = &fed.shown;
    let flags = [(!shown.gap.is_empty(), "with gaps"), (shown.late, "late"), (shown.history, "history")];
    flags.into_iter().filter_map(|(is_set, word)| is_set.then_some(word)).collect::<Vec<_>>().join(", ")
}

fn trace_href(reference: &PduRef) -> String {
    format!("/trace?id={}", segment(&reference.to_string()))
}

/// Shows a context.
pub(super) async fn show(
    site: web::Data<DashboardSite>,
    visitor: DashboardVisitor,
    path: web::Path<String>,
    asked: query::QueryParams<GraphQuery>,
) -> Result<HttpResponse, PageRefusal> {
    let (gateway, now) = (&site.api.gateway, site.now());
    let context = known(&path)?;
    let status = gateway.context(&context).await?;
    let contexts = &gateway.ports().archive.contexts;
    let timeline = contexts.timeline(&context, asked.before, GRAPH_MESSAGES, GRAPH_BYTES).await?;
    let href = format!("/contexts/{}", segment(context.as_str()));
    let bytes: u64 = timeline.iter().map(|(_, fed)| fed.bytes.len() as u64).sum();
    let is_cut = timeline.len() >= GRAPH_MESSAGES as usize || bytes >= GRAPH_BYTES;
    let next = timeline.last().filter(|_| is_cut).map(|(place, _)| format!("{href}?before={place}"));
    let (mut graphed, mut lines) = (Vec::new(), Vec::new());
    for (_, fed) in &timeline {
        let (kind, time, parents) = pdu_parts(&fed.bytes);
        let id = fed.reference.to_string();
        let written = ShownTime::of(time, now);
        graphed.push(GraphMessage {
            origin: fed.reference.origin.to_string(),
            title: format!("{id}, {kind}, {}", written.relative),
            href: trace_href(&fed.reference),
            parents,
            missing: fed.shown.gap.iter().map(|gap| (gap.origin.to_string(), gap.to_string())).collect(),
            is_head: status.record.heads.iter().any(|head| head.reference == fed.reference),
            id: id.clone(),
        });
        lines.push(MessageLine {
            short: short(&fed.reference),
            href: trace_href(&fed.reference),
            origin: fed.reference.origin.to_string(),
            sender: fed.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
            verified: fed.verified.clone(),
            flags: flags(fed),
            id,
            kind,
            written,
        });
    }
    graphed.reverse();
    let servers: Vec<String> = std::iter::once(&gateway.ports().us)
        .chain(&status.record.participants)
        .take(NAMES_SHOWN)
        .map(ToString::to_string)
        .collect();
    page(&ContextGraphPage {
        head: PageHead::new(&site, &visitor, "/contexts"),
        context: context.to_string(),
        participants: named(&servers),
        facts: facts(&status),
        gaps: gaps(&status),
        wanted: status.wanted.iter().take(NAMES_SHOWN).map(ToString::to_string).collect(),
        graph: GraphDrawing::of(&servers, &graphed),
        messages: lines,
        previous: asked.before.map(|_| href),
        next,
    })
}

/// Returns the end of an id: ids of one server begin alike.
fn short(reference: &PduRef) -> String {
    let id = reference.id.as_str();
    match id.char_indices().rev().nth(ID_SHOWN - 1) {
        Some((at, _)) if at > 0 => format!("\u{2026}{}", &id[at..]),
        _ => id.to_owned(),
    }
}

fn facts(status: &ContextStatus) -> Vec<(&'static str, String)> {
    let record = &status.record;
    let mut facts = vec![
        ("heads", count(record.heads.len() as u64)),
        ("depth", count(record.depth)),
        ("waiting for messages before them", count(status.held)),
    ];
    if let Some(join) = &record.join {
        let reason = join.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        facts.push(("join", format!("via {}, {}{reason}", join.via, join.stage.as_str())));
    }
    facts
}

/// Returns the messages that were given up, with the messages that name them.
fn gaps(status: &ContextStatus) -> Vec<(String, String)> {
    let gaps = status.gaps.iter().filter(|gap| !gap.edge).take(NAMES_SHOWN);
    let children = |children: &[PduRef]| named(&children.iter().map(ToString::to_string).collect::<Vec<_>>());
    gaps.map(|gap| (gap.missing.to_string(), children(&gap.children))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pdu_parts_survive_any_text() {
        let text = br#"{"pdu_type":"m.text","ts":5,"prev_pdus":[["p1","blue"]],"content":{}}"#;
        let (kind, time, parents) = pdu_parts(text);
        assert_eq!((kind.as_str(), time), ("m.text", Millis(5)));
        assert_eq!(parents, [["p1/blue".to_owned(), "blue/p1".to_owned()]]);
        for broken in [&b"no"[..], b"{}", br#"{"pdu_type":1,"ts":"x","prev_pdus":{}}"#] {
            assert_eq!(pdu_parts(broken), (String::new(), Millis(0), vec![]));
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..8).map(|at| format!("s{at}")).collect();
        assert_eq!(named(&names), "s0, s1, s2, s3, s4, s5 and 2 more");
        assert_eq!(named(&names[..2]), "s0, s1");
    }
}
