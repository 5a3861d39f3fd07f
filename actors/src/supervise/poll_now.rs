//! Reads of the store within an actor's step: one whose row is in memory ends in the same turn, and one that waits has a deadline.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Longest time that an actor waits for the reads of one step. It handles nothing else meanwhile, so a read that never ended
/// would stop it for good; the actor restarts instead, and its callers are answered that the outcome is unknown.
pub(crate) const READ_WAIT_MAX: Duration = Duration::from_secs(30);

/// Polls a future once. `None`: it waits, and its awaiter polls it again.
pub(crate) fn poll_now<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_future_has_value() {
        assert_eq!(poll_now(std::pin::pin!(async { 1 })), Some(1));
        assert_eq!(poll_now(std::pin::pin!(std::future::pending::<u8>())), None);
    }
}
