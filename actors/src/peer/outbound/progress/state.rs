//! The state of the outbound half of a peer's machine.

use crate::model::{BatchId, DeliveryState, Millis, PeerState, SuspendReason};
use crate::peer::outbound::outbox_window::IndexSpan;

/// The state of sending to the peer, with the data on which its pause depends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OutboundState {
    Idle,
    /// The next rows are being read; nothing is in flight.
    Loading,
    /// A request is in flight.
    Sending {
        attempt: u64,
        label: BatchId,
        mode: SendMode,
        /// Original time of the attempt, if contact or an operator brought it forward.
        original_retry_at: Option<Millis>,
    },
    Waiting {
        until: Millis,
    },
    BackingOff {
        until: Millis,
        /// True if the peer has contacted us in this period; only the first contact brings the attempt forward.
        contacted: bool,
    },
    Suspended {
        cause: SuspendReason,
        probe_at: Option<Millis>,
        contacted: bool,
        /// The state that the store keeps meanwhile, if the cause is in this process or its configuration.
        underlying: Option<DeliveryState>,
    },
}

/// The content of a request, which determines the meaning of its refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendMode {
    /// Items with ephemeral ones: a refusal may be about the latter.
    Normal(IndexSpan),
    /// Items alone: a single one that is refused is refused for its own content.
    WithoutEphemeral(IndexSpan),
    /// Ephemeral items alone, or nothing, which probes a peer that was suspended.
    WithoutItems,
    /// A confirmation probe: does the peer have an unconfirmed item?
    Confirm,
}

impl SendMode {
    /// Returns the items of the request.
    pub(crate) const fn span(self) -> Option<IndexSpan> {
        match self {
            Self::Normal(span) | Self::WithoutEphemeral(span) => Some(span),
            Self::WithoutItems | Self::Confirm => None,
        }
    }
}

impl OutboundState {
    /// Returns a suspension that contact from the peer does not end.
    pub(crate) const fn suspended(cause: SuspendReason, probe_at: Option<Millis>) -> Self {
        Self::Suspended { cause, probe_at, contacted: true, underlying: None }
    }

    /// Returns a suspension that lasts as long as this process or its configuration says so; the store keeps `underlying`.
    pub(crate) const fn of_this_process(cause: SuspendReason, underlying: DeliveryState) -> Self {
        Self::Suspended { cause, probe_at: None, contacted: true, underlying: Some(underlying) }
    }

    /// Returns the state that the store has kept.
    pub(crate) const fn of_store(rest: DeliveryState) -> Self {
        match rest {
            DeliveryState::Ready => Self::Idle,
            DeliveryState::Waiting { until } => Self::Waiting { until },
            DeliveryState::BackingOff { until } => Self::BackingOff { until, contacted: false },
            DeliveryState::Suspended { cause, probe_at } => {
                Self::Suspended { cause, probe_at, contacted: false, underlying: None }
            }
        }
    }

    /// Returns the state as it is reported.
    pub(crate) const fn reported(&self) -> PeerState {
        match self {
            Self::Idle => PeerState::Idle,
            Self::Loading | Self::Sending { .. } => PeerState::Sending,
            Self::Waiting { .. } => PeerState::Waiting,
            Self::BackingOff { .. } => PeerState::BackingOff,
            Self::Suspended { cause, .. } => PeerState::Suspended(*cause),
        }
    }

    /// Returns the cause for which nothing at all goes to the peer. A pause of the configuration is none: it concerns the queue.
    pub(crate) const fn shut(&self) -> Option<SuspendReason> {
        if let Self::Suspended { cause: SuspendReason::Faulty, .. } = self {
            return Some(SuspendReason::Faulty);
        }
        match self.durable() {
            DeliveryState::Suspended { cause: SuspendReason::Admin, .. } => Some(SuspendReason::Admin),
            _ => None,
        }
    }

    /// Returns whether sending is paused; then no rows are kept in memory.
    pub(crate) const fn is_paused(&self) -> bool {
        !matches!(self, Self::Idle | Self::Loading | Self::Sending { .. })
    }

    /// Returns the time of the next attempt, if a timer decides it.
    pub(crate) const fn next_attempt(&self) -> Option<Millis> {
        match self {
            Self::Waiting { until } | Self::BackingOff { until, .. } => Some(*until),
            Self::Suspended { probe_at, .. } => *probe_at,
            Self::Idle | Self::Loading | Self::Sending { .. } => None,
        }
    }

    /// Returns the part of the state that outlives this process.
    pub(crate) const fn durable(&self) -> DeliveryState {
        match self {
            Self::Idle | Self::Loading | Self::Sending { .. } => DeliveryState::Ready,
            Self::Waiting { until } => DeliveryState::Waiting { until: *until },
            Self::BackingOff { until, .. } => DeliveryState::BackingOff { until: *until },
            Self::Suspended { underlying: Some(underlying), .. } => *underlying,
            Self::Suspended { cause, probe_at, underlying: None, .. } => {
                DeliveryState::Suspended { cause: *cause, probe_at: *probe_at }
            }
        }
    }

    /// Returns whether an ephemeral item that expires then is kept to be sent with the next attempt.
    pub(crate) fn keeps_ephemeral(&self, expiry: Millis) -> bool {
        match self {
            Self::Idle | Self::Loading | Self::Sending { .. } => true,
            Self::Waiting { until } | Self::BackingOff { until, .. } => expiry > *until,
            Self::Suspended { .. } => false,
        }
    }
}
