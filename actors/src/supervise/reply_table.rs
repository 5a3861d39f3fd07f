//! The channels of the replies that an actor owes, one table for each type of reply.

use std::any::Any;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use tokio::sync::oneshot;

use crate::reply_token::ReplyToken;
use crate::supervise::admission::AdmissionPermit;

/// A reply that can be sent. Dropped unsent, it drops its channel, and the caller is told that the outcome is unknown.
pub(crate) type ReadyReply = Box<dyn FnOnce() + Send>;

type OwedReplies<S> = BTreeMap<u64, (oneshot::Sender<S>, Option<AdmissionPermit>)>;

/// The channels of replies of type `R`, which are sent as `S`. The permit of a request is released right before its reply is sent,
/// because a caller that repeats at once, on another thread than the one that sends, must find it.
pub(crate) struct ReplyTable<R, S = R> {
    /// Boxed while there are any, because a waiting actor takes little memory.
    owed: Option<Box<OwedReplies<S>>>,
    reply: PhantomData<fn() -> R>,
}

impl<R, S> Default for ReplyTable<R, S> {
    fn default() -> Self {
        Self { owed: None, reply: PhantomData }
    }
}

impl<R: Send + 'static, S: From<R> + Send + 'static> ReplyTable<R, S> {
    /// Keeps the channel of a request under this number, which is unique within the actor; returns its token.
    pub(crate) fn insert(
        &mut self,
        number: u64,
        channel: oneshot::Sender<S>,
        permit: Option<AdmissionPermit>,
    ) -> ReplyToken<R> {
        self.owed.get_or_insert_default().insert(number, (channel, permit));
        ReplyToken::new(number)
    }

    /// Returns the reply to send, or `None` if the channel was taken or dropped before.
    pub(crate) fn ready(&mut self, token: ReplyToken<R>, reply: R) -> Option<ReadyReply> {
        let (channel, permit) = self.remove(token)?;
        Some(Box::new(move || {
            drop(permit);
            // The caller may have disconnected.
            let _ = channel.send(reply.into());
        }))
    }

    /// Returns the channel of a reply that is made later, and releases its permit.
    pub(crate) fn take(&mut self, token: ReplyToken<R>) -> Option<oneshot::Sender<S>> {
        self.remove(token).map(|(channel, _)| channel)
    }

    fn remove(&mut self, token: ReplyToken<R>) -> Option<(oneshot::Sender<S>, Option<AdmissionPermit>)> {
        let removed = self.owed.as_mut()?.remove(&token.number());
        self.owed.take_if(|owed| owed.is_empty());
        removed
    }

    /// Returns whether no reply is owed.
    pub(crate) const fn is_empty(&self) -> bool {
        self.owed.is_none()
    }

    /// Moves all channels with their numbers to `dropped`; see [`drop_in_order`].
    pub(crate) fn drain_into(&mut self, dropped: &mut Vec<(u64, Box<dyn Any>)>) {
        let owed = self.owed.take().into_iter().flat_map(|owed| *owed);
        dropped.extend(owed.map(|(number, owed)| (number, Box::new(owed) as Box<dyn Any>)));
    }
}

/// Drops the channels of several tables in the order of their requests, because the callers repeat their requests in the order in
/// which they are woken.
pub(crate) fn drop_in_order(mut channels: Vec<(u64, Box<dyn Any>)>) {
    channels.sort_by_key(|(number, _)| *number);
    channels.into_iter().for_each(drop);
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::supervise::admission::AdmissionLimit;

    #[test]
    fn caller_finds_its_permit_released() {
        /// Notes, at the moment at which the caller is woken, whether its permit is free.
        struct WokenCaller(AdmissionLimit, AtomicBool);
        impl Wake for WokenCaller {
            fn wake(self: Arc<Self>) {
                self.1.store(self.0.is_empty(), Ordering::Relaxed);
            }
        }
        let limit = AdmissionLimit::new("peers.intake_max", 1);
        let caller = Arc::new(WokenCaller(limit.clone(), AtomicBool::new(false)));
        let mut table = ReplyTable::<&str>::default();
        let (channel, mut reply) = oneshot::channel();
        let token = table.insert(7, channel, limit.enter().ok());
        let ready = table.ready(token, "taken").expect("it is owed");
        assert!(table.is_empty() && !limit.is_empty());
        assert!(table.ready(token, "twice").is_none());
        assert!(Pin::new(&mut reply).poll(&mut std::task::Context::from_waker(&caller.clone().into())).is_pending());
        ready();
        assert!(caller.1.load(Ordering::Relaxed), "the permit was free when the caller woke");
        assert_eq!(reply.try_recv(), Ok("taken"));
    }

    #[test]
    fn channels_are_dropped_in_order() {
        struct NotedDrop<'a>(u64, &'a std::cell::RefCell<Vec<u64>>);
        impl Drop for NotedDrop<'_> {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let order: &'static _ = Box::leak(Box::new(std::cell::RefCell::new(vec![])));
        let noted = |number| (number, Box::new(NotedDrop(number, order)) as Box<dyn Any>);
        drop_in_order(vec![noted(2), noted(5), noted(1), noted(3)]);
        assert_eq!(*order.borrow(), [1, 2, 3, 5]);
        let (mut table, mut dropped) = (ReplyTable::<u8>::default(), vec![]);
        let (channel, mut reply) = oneshot::channel();
        table.insert(4, channel, None);
        table.drain_into(&mut dropped);
        assert!(table.is_empty() && reply.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        drop_in_order(dropped);
        assert_eq!(reply.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
