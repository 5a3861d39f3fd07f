//! A call that goes on if the connection breaks off that it came over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::rt;
use actors::errors::UnavailableError;
use actors::supervise::catch_panic::guard;

use crate::http::error::ApiError;

/// A call of the messenger that always runs to its end.
///
/// If a submission were dropped with its connection, its ids would be unlocked between submission and commit, and the messenger's
/// repeat would find no record yet and be accepted a second time. The call runs in the connection's task, because a task for each
/// submission costs more than its turn in [`SubmissionLocks`](super::id_locks::SubmissionLocks); only a call that is dropped before its
/// end becomes a task of its own.
pub(super) struct UncancelledCall<T: 'static> {
    /// The call, until it has ended or panicked.
    call: Option<LocalCall<T>>,
}

type LocalCall<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl<T: 'static> UncancelledCall<T> {
    /// Returns this call, which begins when it is polled.
    pub(super) fn new(call: impl Future<Output = Result<T, ApiError>> + 'static) -> Self {
        Self { call: Some(Box::pin(call)) }
    }
}

impl<T: 'static> Future for UncancelledCall<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome_unknown = || Err(UnavailableError::OutcomeUnknown.into());
        let Some(call) = &mut self.call else { return Poll::Ready(outcome_unknown()) };
        let polled = match guard(|| call.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => result,
            // It is dropped and never polled again, so what it left half done is not observed.
            Err(_panicked) => outcome_unknown(),
        };
        self.call = None;
        Poll::Ready(polled)
    }
}

impl<T: 'static> Drop for UncancelledCall<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            // The connection's task is one of a local set, so that this cannot fail; a set that ends drops the call.
            rt::spawn(call);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use actix_web::ResponseError;
    use actix_web::http::StatusCode;
    use tokio::sync::oneshot;

    use super::*;

    /// Returns a call that counts up when it begins and when it ends, and what it waits for between.
    fn counting() -> (Rc<Cell<u32>>, oneshot::Sender<()>, UncancelledCall<()>) {
        let (count, (commit, committed)) = (Rc::new(Cell::new(0)), oneshot::channel());
        let counted = Rc::clone(&count);
        let call = UncancelledCall::new(async move {
            counted.set(1);
            let _sent = committed.await;
            counted.set(2);
            Ok(())
        });
        (count, commit, call)
    }

    #[actix_web::test]
    async fn dropped_call_runs_to_end() {
        let (count, commit, call) = counting();
        let connection = rt::spawn(call);
        tokio::task::yield_now().await;
        assert_eq!(count.get(), 1, "it waits for the commit");
        connection.abort();
        assert!(connection.await.expect_err("dropped").is_cancelled());
        commit.send(()).expect("it is there still");
        tokio::task::yield_now().await;
        assert_eq!(count.get(), 2);
    }

    #[actix_web::test]
    async fn finished_call_runs_once() {
        let (count, commit, mut call) = counting();
        commit.send(()).expect("it is there");
        assert_eq!((&mut call).await, Ok(()));
        count.set(0);
        drop(call);
        tokio::task::yield_now().await;
        assert_eq!(count.get(), 0);
    }

    #[actix_web::test]
    async fn panic_leaves_outcome_unknown() {
        let call = UncancelledCall::<()>::new(async { panic!("a bug") });
        assert_eq!(call.await.expect_err("unknown").status_code(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
