//! The peer's state as the messenger was told, so that each change is announced once.

use crate::model::{DeliveryState, OutboundRecord, SuspendReason};

/// The state that was announced last.
#[derive(Debug, Clone)]
pub(super) struct AnnouncedState {
    /// Cause of the suspension that was announced; failed probes do not announce it again.
    suspension: Option<SuspendReason>,
    /// Cause of the suspension by the configuration that was announced.
    by_config: Option<SuspendReason>,
}

impl AnnouncedState {
    /// Returns what an earlier process announced.
    pub(super) const fn new(record: &OutboundRecord) -> Self {
        let suspension = match record.rest {
            DeliveryState::Suspended { cause, .. } => Some(cause),
            DeliveryState::Ready | DeliveryState::Waiting { .. } | DeliveryState::BackingOff { .. } => None,
        };
        Self { suspension, by_config: record.told_suspension }
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

    /// Records the cause for which the configuration suspends the peer, while items are pending for it or not. Returns whether
    /// this is a change: a suspension without pending items is none.
    pub(super) fn note_config(&mut self, cause: Option<SuspendReason>, has_backlog: bool) -> bool {
        let news = cause.filter(|_| has_backlog);
        if news == self.by_config || (news.is_none() && cause.is_some()) {
            return false;
        }
        self.by_config = news;
        true
    }

    /// Returns the cause of the suspension by the configuration that was announced.
    pub(super) const fn by_config(&self) -> Option<SuspendReason> {
        self.by_config
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
    fn config_suspension_is_news_with_backlog() {
        let mut announced = AnnouncedState::new(&OutboundRecord::default());
        let (gone, denied) = (Some(SuspendReason::NotListed), Some(SuspendReason::Denied));
        let noted =
            [(None, true), (gone, false), (gone, true), (gone, true), (gone, false), (denied, true), (None, false)];
        let news = noted.map(|(cause, has_backlog)| announced.note_config(cause, has_backlog));
        assert_eq!(news, [false, false, true, false, false, true, true]);
        assert_eq!(announced.by_config(), None);
    }
}
