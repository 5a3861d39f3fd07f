//! The messenger in `/health/ready`. One that is down is no illness of the gateway; one at which the push is stuck is.

use actors::ports::FeedBounds;
use tokio::sync::watch;

use crate::api::health::{FailingCheck, MessengerHealth};
use crate::http::responses::rfc3339;
use crate::messenger::push::{PushCondition, PushHandle};

/// The push of a gateway, as its health shows it. The default is a gateway without push mode.
#[derive(Debug, Clone, Default)]
pub struct PushHealth(Option<(PushHandle, watch::Receiver<FeedBounds>)>);

impl PushHealth {
    /// Returns the health of a push and of the feed that it sends.
    pub fn new(push: Option<PushHandle>, feed: watch::Receiver<FeedBounds>) -> Self {
        Self(push.map(|push| (push, feed)))
    }

    /// Returns the state of the push; `None`: push mode is off.
    pub(in crate::admin) fn shown(&self) -> Option<MessengerHealth> {
        let (push, feed) = self.0.as_ref()?;
        let (condition, since) = push.status().condition();
        Some(MessengerHealth {
            state: condition.as_str().into(),
            since: rfc3339(since),
            unread: feed.borrow().unread(),
        })
    }

    /// Returns the condition that keeps the process from being ready, if the push is stuck.
    pub(in crate::admin) fn failing(&self) -> Option<FailingCheck> {
        let (push, _) = self.0.as_ref()?;
        let (PushCondition::Stuck(position), _) = push.status().condition() else { return None };
        let why = format!(
            "the messenger fails at position {position} for ever, as at the events before it: repair the messenger, or let it \
             answer 422 for what it cannot take"
        );
        Some(FailingCheck { what: "push_stuck".into(), why })
    }
}
