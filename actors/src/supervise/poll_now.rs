//! A future that needs not wait: actors take a read that is in memory in the same turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Polls a future once. `None`: it waits, and is polled again by whoever awaits it.
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
