//! The peer's state as the messenger was told, so that each change is announced once.

use crate::model::{DeliveryState, OutboundRecord, SuspendReason};

/// The state that was announced last.
#[derive(Debug, Clone)]
pub(super) struct AnnouncedState {
    /// Cause of the suspension that was announced; failed probes do not announce it again.
    suspension: Option<SuspendReason>,
    /// True if the messenger was told that the configuration no longer names the peer.
    not_listed: bool,
}

impl AnnouncedState {
    /// Returns what an earlier process announced.
    pub(super) const fn new(record: &OutboundRecord) -> Self {
        let suspension = match record.rest {
            DeliveryState::Suspended { cause, .. } => Some(cause),
            DeliveryState::Ready | DeliveryState::Waiting { .. } | DeliveryState::BackingOff { .. } => None,
        };
        Self { suspension, not_listed: record.told_not_listed }
    }

    /// Returns whether a suspension of this cause was announced.
    pub(super) fn has_suspension(&self, cause: SuspendReason) -> bool {
        self.suspension == Some(cause)
    }

    /// Records a suspension; returns whether it is news.
    pub(super) fn suspend(&mut self, cause: SuspendReason) -> bool {
        self.suspension.replace(cause) != Some(cause)
    }

    /// Records the end of a suspension; returns whether it is news.
    pub(super) const fn end_suspension(&mut self) -> bool {
        self.suspension.take().is_some()
    }

    /// Records whether the peer is missing from the configuration while items are pending for it. Returns whether this is a
    /// change: a missing peer without pending items is none.
    pub(super) const fn note_listing(&mut self, is_listed: bool, has_backlog: bool) -> bool {
        let is_gone = !is_listed && has_backlog;
        if is_gone == self.not_listed || (!is_gone && !is_listed) {
            return false;
        }
        self.not_listed = is_gone;
        true
    }

    /// Returns whether the messenger was told that the peer is not listed.
    pub(super) const fn is_told_not_listed(&self) -> bool {
        self.not_listed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspension_is_news_once_per_cause() {
        let mut announced = AnnouncedState::new(&OutboundRecord::default());
        let causes = [SuspendReason::Unreachable, SuspendReason::Unreachable, SuspendReason::Refused];
        assert_eq!(causes.map(|cause| announced.suspend(cause)), [true, false, true]);
        assert!(announced.has_suspension(SuspendReason::Refused));
        assert!(announced.end_suspension() && !announced.end_suspension());
    }

    #[test]
    fn missing_peer_is_news_with_backlog() {
        let mut announced = AnnouncedState::new(&OutboundRecord::default());
        let noted = [(true, true), (false, false), (false, true), (false, true), (false, false), (true, false)];
        let news = noted.map(|(is_listed, has_backlog)| announced.note_listing(is_listed, has_backlog));
        assert_eq!(news, [false, false, true, false, false, true]);
        assert!(!announced.is_told_not_listed());
    }
}
