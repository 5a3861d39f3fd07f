//! Draws the screen of `fernpost top`.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Sparkline, Table};

use crate::api::health::flow::FlowRow;
use crate::api::health::status::{StatusProblem, StatusReport};
use crate::api::peers::PeerDetails;
use crate::cli::top::top_view::{PeerOrder, TopSnapshot, TopView};
use crate::terminal::format::{ago, count, counted, items, printable, size, until};

/// Maximum number of lines of problems: the peers need room, too.
const PROBLEM_LINES: usize = 6;

/// Lines of each series of the flow.
const FLOW_LINES: u16 = 2;

/// Columns before the series, which name it.
const FLOW_NAME: u16 = 25;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red);

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, view: &mut TopView) {
    let problems = problem_lines(view);
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2 * FLOW_LINES),
        Constraint::Length(problems.len() as u16),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .split(frame.area());
    frame.render_widget(Paragraph::new(head(&view.snapshot.status)), areas[0]);
    draw_flow(frame, areas[1], &view.snapshot.minutes);
    frame.render_widget(Paragraph::new(problems), areas[2]);
    draw_peers(frame, areas[3], view);
    frame.render_widget(Paragraph::new(foot(view.order)), areas[4]);
}

fn text(words: &str) -> String {
    printable(words).replace('\n', " ")
}

fn head(status: &StatusReport) -> Vec<Line<'static>> {
    let (word, style) = if status.ready { ("ready", GOOD) } else { ("not ready", BAD) };
    let first = Line::from(vec![
        Span::styled(text(&status.server), BOLD),
        Span::raw("  "),
        Span::styled(word, style),
        Span::raw(format!("  Fernpost {}, started {} ago", text(&status.version), ago(&status.started))),
    ]);
    let free = status.disk_free.map_or_else(|| "unknown".to_owned(), size);
    let states = status.peers.iter().filter(|(_, peers)| **peers > 0);
    let states: Vec<String> = states.map(|(state, peers)| format!("{} {}", count(*peers), text(state))).collect();
    let states = if states.is_empty() { "no peer has work".to_owned() } else { states.join(", ") };
    let second = format!(
        "{} for peers, {} for the messenger, {free} free; {states}",
        items(status.backlog),
        counted(status.unread, "event")
    );
    vec![first, Line::from(second.replace('_', " "))]
}

/// The choice of one number of a minute.
type FlowPick = fn(&FlowRow) -> u64;

fn draw_flow(frame: &mut Frame<'_>, area: Rect, minutes: &[FlowRow]) {
    let halves = Layout::vertical([Constraint::Length(FLOW_LINES); 2]).split(area);
    let series: [(&str, Style, FlowPick); 2] =
        [("delivered", GOOD, |row| row.delivered), ("received", Style::new().fg(Color::Blue), |row| row.received)];
    for ((name, style, pick), half) in series.into_iter().zip(halves.iter()) {
        let parts = Layout::horizontal([Constraint::Length(FLOW_NAME), Constraint::Min(1)]).split(*half);
        let all: Vec<u64> = minutes.iter().map(pick).collect();
        let (sum, now) = (all.iter().sum(), all.last().copied().unwrap_or(0));
        let words = vec![
            Line::from(Span::styled(name, BOLD)),
            Line::from(Span::styled(format!("{} an hour, {} now", count(sum), count(now)), DIM)),
        ];
        frame.render_widget(Paragraph::new(words), parts[0]);
        // The newest minutes count if there is no room for all.
        let shown = &all[all.len().saturating_sub(usize::from(parts[1].width))..];
        frame.render_widget(Sparkline::default().data(shown).style(style), parts[1]);
    }
}

fn problem_lines(view: &TopView) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(why) = &view.failure {
        lines.push(Line::from(Span::styled(format!("! {}", text(why)), BAD)));
    }
    let problems = &view.snapshot.status.problems;
    let mut hidden = problems.len();
    for StatusProblem { what, why, fix } in problems {
        if lines.len() + 2 > PROBLEM_LINES {
            break;
        }
        let what = Span::styled(format!("! {}: ", text(what)), BAD.add_modifier(Modifier::BOLD));
        lines.push(Line::from(vec![what, Span::styled(text(why), BAD)]));
        lines.push(Line::from(Span::raw(format!("  {}", text(fix)))));
        hidden -= 1;
    }
    if hidden > 0 || view.snapshot.status.more_problems {
        let words = format!("  more problems: {}; see `fernpost status`", count(hidden as u64));
        lines.push(Line::from(Span::styled(words, DIM)));
    }
    if lines.is_empty() {
        lines.push(Line::from(Span::styled("nothing is wrong", GOOD)));
    }
    lines
}

fn state_style(state: &str) -> Style {
    match state {
        "idle" | "sending" => GOOD,
        "suspended" => BAD,
        _ => WARN,
    }
}

fn peer_row(peer: &PeerDetails) -> Row<'static> {
    let state = match &peer.reason {
        Some(reason) => format!("{} {reason}", peer.state),
        None => peer.state.to_string(),
    };
    let said = |time: &Option<String>, how: fn(&str) -> String| time.as_deref().map(how).unwrap_or_default();
    let failures = if peer.failures > 0 { count(peer.failures) } else { String::new() };
    Row::new(vec![
        Cell::from(text(&peer.server)),
        Cell::from(text(&state).replace('_', " ")).style(state_style(&peer.state)),
        Cell::from(Line::from(count(peer.backlog)).right_aligned()),
        Cell::from(said(&peer.oldest_unacknowledged, ago)),
        Cell::from(said(&peer.next_attempt, until)),
        Cell::from(Line::from(failures).right_aligned()),
        Cell::from(text(peer.last_error.as_deref().unwrap_or_default())).style(DIM),
    ])
}

fn draw_peers(frame: &mut Frame<'_>, area: Rect, view: &TopView) {
    let TopSnapshot { peers, .. } = &view.snapshot;
    let room = usize::from(area.height.saturating_sub(1));
    let skipped = view.skipped.min(peers.len().saturating_sub(room));
    let rows = peers.iter().skip(skipped).take(room).map(peer_row);
    let widths = [
        Constraint::Fill(3),
        Constraint::Length(18),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(5),
        Constraint::Fill(2),
    ];
    let heads = ["PEER", "STATE", "  BACKLOG", "OLDEST", "NEXT", "FAILS", "LAST ERROR"];
    let table = Table::new(rows, widths).header(Row::new(heads).style(DIM)).column_spacing(1);
    frame.render_widget(table, area);
}

fn foot(order: PeerOrder) -> Line<'static> {
    let mut spans = vec![Span::styled("q", BOLD), Span::raw(" quit   order: ")];
    for (at, one) in PeerOrder::ALL.into_iter().enumerate() {
        if at > 0 {
            spans.push(Span::raw(" "));
        }
        let style = if one == order { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let (key, rest) = one.name().split_at(1);
        spans.push(Span::styled(key, style.add_modifier(Modifier::BOLD)));
        spans.push(Span::styled(rest, style));
    }
    spans.push(Span::raw("   arrows scroll"));
    Line::from(spans)
}

#[cfg(test)]
mod tests;
