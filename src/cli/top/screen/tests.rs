//! The screen in a terminal of 80 columns and 24 lines, and the keys.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::*;
use crate::cli::top::top_view::KeyOutcome;

fn peer(server: &str, state: &str, backlog: u64, error: &str) -> PeerDetails {
    let text = format!(r#"{{"server":"{server}","state":"{state}","backlog":{backlog},"failures":{backlog}}}"#);
    let mut peer: PeerDetails = serde_json::from_str(&text).expect("a peer");
    peer.last_error = Some(error.to_owned()).filter(|error| !error.is_empty());
    peer
}

fn view(peers: Vec<PeerDetails>, problems: usize) -> TopView {
    let mut status: StatusReport = serde_json::from_str(concat!(
        r#"{"server":"red.example","version":"0.1.0","started":"2026-12-01T00:00:00.000Z","ready":true,"#,
        r#""listeners":[],"peers":{"sending":2,"backing_off":1},"backlog":7000,"unread":3,"disk_free":1048576,"#,
        r#""disk_min_free":1024}"#
    ))
    .expect("a report");
    let problem =
        |at| StatusProblem { what: format!("p{at}"), why: "it is\u{1b}[2J away".to_owned(), fix: "call".to_owned() };
    status.problems.extend((0..problems).map(problem));
    let minute =
        |at: u64| FlowRow { minute: String::new(), accepted: 0, delivered: at, failed: 0, received: 1, quarantined: 0 };
    TopView::new(TopSnapshot { status, peers, minutes: (0..60).map(minute).collect() })
}

fn drawn(view: &mut TopView, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory");
    terminal.draw(|frame| draw(frame, view)).expect("memory");
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn press(view: &mut TopView, code: KeyCode) -> KeyOutcome {
    view.press(KeyEvent::new(code, KeyModifiers::NONE))
}

/// Returns the names of the peers from top to bottom.
fn names(view: &mut TopView) -> Vec<String> {
    let lines = drawn(view, 80, 24);
    let head = lines.iter().position(|line| line.starts_with("PEER")).expect("a head");
    let rows = lines[head + 1..23].iter().filter_map(|line| line.split_whitespace().next());
    rows.map(str::to_owned).collect()
}

#[test]
fn screen_fits_small_terminal() {
    let peers = vec![peer("blue.example", "sending", 7, ""), peer("green.example", "backing_off", 6_993, "no route")];
    let lines = drawn(&mut view(peers, 1), 80, 24);
    assert!(lines[0].starts_with("red.example  ready  Fernpost 0.1.0, started "), "{lines:#?}");
    assert!(
        lines[1].starts_with("7,000 items for peers, 3 events for the messenger, 1.0 MiB free; 1 backing off"),
        "{lines:#?}"
    );
    assert!(lines[2].starts_with("delivered") && lines[3].starts_with("1,770 an hour, 59 now"), "{lines:#?}");
    assert!(lines[3].ends_with('\u{2588}'), "the newest minute is the highest: {lines:#?}");
    assert_eq!(lines[6], "! p0: it is\\u001b[2J away");
    assert_eq!(lines[7], "  call");
    assert!(lines[8].starts_with("PEER") && lines[8].contains("BACKLOG"), "{lines:#?}");
    assert!(lines[9].starts_with("green.example") && lines[9].contains("backing off"), "{lines:#?}");
    assert!(lines[9].contains(" 6,993") && lines[9].ends_with("no route"), "{lines:#?}");
    assert!(lines[23].starts_with("q quit   order: backlog name state age failures"), "{lines:#?}");
}

#[test]
fn tiny_terminal_is_no_panic() {
    let mut shown = view(vec![peer("blue", "idle", 0, "")], 9);
    for (width, height) in [(1, 1), (10, 3), (80, 5), (300, 100)] {
        drawn(&mut shown, width, height);
    }
}

#[test]
fn keys_sort_and_scroll_peers() {
    let peers = (0..30).map(|at| peer(&format!("p{at:02}"), if at == 17 { "suspended" } else { "idle" }, at, ""));
    let mut shown = view(peers.collect(), 0);
    assert_eq!(names(&mut shown)[0], "p29", "most pending items first");
    press(&mut shown, KeyCode::Char('n'));
    assert_eq!(names(&mut shown)[..2], ["p00", "p01"]);
    press(&mut shown, KeyCode::Down);
    assert_eq!(names(&mut shown)[0], "p01");
    for _ in 0..9 {
        press(&mut shown, KeyCode::PageDown);
    }
    assert_eq!(names(&mut shown).last().map(String::as_str), Some("p29"), "it ends with the last peer");
    press(&mut shown, KeyCode::Char('s'));
    assert_eq!(names(&mut shown)[0], "p17", "the worst state first");
    press(&mut shown, KeyCode::Char('f'));
    assert_eq!(names(&mut shown)[0], "p29");
}

#[test]
fn quit_keys_end_screen() {
    let mut shown = view(vec![], 0);
    assert_eq!(press(&mut shown, KeyCode::Char('x')), KeyOutcome::Continue);
    assert_eq!(press(&mut shown, KeyCode::Char('q')), KeyOutcome::Quit);
    assert_eq!(press(&mut shown, KeyCode::Esc), KeyOutcome::Quit);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(shown.press(interrupt), KeyOutcome::Quit);
}

#[test]
fn failed_look_keeps_last_one() {
    let mut shown = view(vec![peer("blue", "idle", 1, "")], 3);
    shown.fail("no gateway answers".to_owned());
    let lines = drawn(&mut shown, 80, 24);
    assert_eq!(lines[6], "! no gateway answers");
    assert!(lines.iter().any(|line| line.starts_with("blue")), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "  more problems: 1; see `fernpost status`"), "{lines:#?}");
    let latest = shown.snapshot.clone();
    shown.renew(latest);
    assert!(!drawn(&mut shown, 80, 24).iter().any(|line| line.contains("no gateway")));
}
