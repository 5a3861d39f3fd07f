//! The content of the screen of `fernpost top`: the last look at the gateway, the order of the peers, and the effects of keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::api::health::flow::FlowRow;
use crate::api::health::status::StatusReport;
use crate::api::peers::PeerDetails;

/// One look at the gateway.
#[derive(Debug, Clone)]
pub(super) struct TopSnapshot {
    pub(super) status: StatusReport,
    /// Peers in memory.
    pub(super) peers: Vec<PeerDetails>,
    pub(super) minutes: Vec<FlowRow>,
}

/// The order of the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerOrder {
    /// Most pending items first.
    Backlog,
    /// By name.
    Name,
    /// By state, the worst first.
    State,
    /// The oldest pending item first.
    Age,
    /// Most failures in a row first.
    Failures,
}

impl PeerOrder {
    /// Returns its name, which begins with its key.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Name => "name",
            Self::State => "state",
            Self::Age => "age",
            Self::Failures => "failures",
        }
    }

    /// All orders, as the foot of the screen lists them.
    pub(super) const ALL: [Self; 5] = [Self::Backlog, Self::Name, Self::State, Self::Age, Self::Failures];
}

/// The effect of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyOutcome {
    /// The screen goes on.
    Continue,
    /// The screen ends.
    Quit,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct TopView {
    pub(super) snapshot: TopSnapshot,
    /// The reason why the last look failed.
    pub(super) failure: Option<String>,
    pub(super) order: PeerOrder,
    /// Number of peers above the first one on the screen.
    pub(super) skipped: usize,
}

impl TopView {
    /// Shows this look, the peers by their backlog.
    pub(super) fn new(snapshot: TopSnapshot) -> Self {
        let mut view = Self { snapshot, failure: None, order: PeerOrder::Backlog, skipped: 0 };
        view.sort();
        view
    }

    /// Shows a newer look.
    pub(super) fn renew(&mut self, snapshot: TopSnapshot) {
        (self.snapshot, self.failure) = (snapshot, None);
        self.sort();
    }

    /// Shows why there is no newer look.
    pub(super) fn fail(&mut self, why: String) {
        self.failure = Some(why);
    }

    /// Does what a key means.
    pub(super) fn press(&mut self, key: KeyEvent) -> KeyOutcome {
        const PAGE: usize = 10;
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return KeyOutcome::Quit,
            // In this mode of the terminal it is a key and no signal.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return KeyOutcome::Quit,
            KeyCode::Down => self.skipped += 1,
            KeyCode::Up => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageDown => self.skipped += PAGE,
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(PAGE),
            KeyCode::Home => self.skipped = 0,
            KeyCode::Char(pressed) => {
                let found = PeerOrder::ALL.into_iter().find(|order| order.name().starts_with(pressed));
                if let Some(order) = found {
                    (self.order, self.skipped) = (order, 0);
                    self.sort();
                }
            }
            _ => {}
        }
        self.skipped = self.skipped.min(self.snapshot.peers.len().saturating_sub(1));
        KeyOutcome::Continue
    }

    fn sort(&mut self) {
        let peers = &mut self.snapshot.peers;
        // The order of equal peers is that of their names, so that no line moves without a reason.
        peers.sort_by(|one, other| one.server.cmp(&other.server));
        match self.order {
            PeerOrder::Name => {}
            PeerOrder::Backlog => peers.sort_by_key(|peer| std::cmp::Reverse(peer.backlog)),
            PeerOrder::State => peers.sort_by_key(|peer| rank(&peer.state)),
            PeerOrder::Age => peers
                .sort_by_cached_key(|peer| (peer.oldest_unacknowledged.is_none(), peer.oldest_unacknowledged.clone())),
            PeerOrder::Failures => peers.sort_by_key(|peer| std::cmp::Reverse(peer.failures)),
        }
        self.skipped = self.skipped.min(self.snapshot.peers.len().saturating_sub(1));
    }
}

fn rank(state: &str) -> u8 {
    match state {
        "suspended" => 0,
        "backing_off" => 1,
        "waiting" => 2,
        "sending" => 3,
        _ => 4,
    }
}
