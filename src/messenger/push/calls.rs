//! Calls of the messenger that reach the task of push mode.

use actors::model::Position;
use actors::ports::CommitTicket;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The calls that the task has not handled yet.
#[derive(Debug, Default)]
pub(super) struct PushCalls {
    /// The messenger said that it is back.
    pub(super) pinged: Notify,
    /// An operator released refused events.
    pub(super) released: Notify,
    rewound: Notify,
    /// Position of a rewind that the task has not handled. While there is one, nothing is acknowledged.
    rewind: Mutex<Option<Position>>,
}

impl PushCalls {
    /// Hands a rewind to the journal and to the task.
    pub(super) fn rewind(&self, to: Position, submit: impl FnOnce() -> CommitTicket) -> CommitTicket {
        let mut rewind = self.rewind.lock();
        let ticket = submit();
        *rewind = Some(to);
        self.rewound.notify_one();
        ticket
    }

    /// Waits for a rewind.
    pub(super) async fn rewound(&self) -> Position {
        loop {
            self.rewound.notified().await;
            if let Some(to) = self.rewind.lock().take() {
                return to;
            }
        }
    }

    /// Hands an acknowledgement to the journal, unless a rewind has overtaken it.
    pub(super) fn acknowledge(&self, submit: impl FnOnce() -> CommitTicket) {
        let rewind = self.rewind.lock();
        if rewind.is_none() {
            // Nothing waits for the commit: a crash before it repeats the batch.
            drop(submit());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rewind_stops_later_acknowledgements() {
        let calls = PushCalls::default();
        let submitted = |calls: &PushCalls| {
            let mut is_submitted = false;
            calls.acknowledge(|| {
                is_submitted = true;
                CommitTicket::pair().1
            });
            is_submitted
        };
        assert!(submitted(&calls));
        drop(calls.rewind(Position(7), || CommitTicket::pair().1));
        assert!(!submitted(&calls));
        drop(calls.rewind(Position(3), || CommitTicket::pair().1));
        assert_eq!(calls.rewound().await, Position(3), "the last one");
        assert!(submitted(&calls), "the task goes on after the position");
    }
}
