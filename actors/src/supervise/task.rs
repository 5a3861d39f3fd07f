//! Runs foreign futures outside the actor: a panic becomes a value, and dropping the handle aborts the future.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::supervise::catch_panic::{StepPanicked, panic_message};

/// A running future; dropping the handle aborts it.
#[derive(Debug)]
pub struct IsolatedTask(JoinHandle<()>);

impl Drop for IsolatedTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `future` on its own task of this thread, and passes its result or its panic to `done`.
pub fn spawn_abortable<T: 'static>(
    future: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T, StepPanicked>) + 'static,
) -> IsolatedTask {
    IsolatedTask(tokio::task::spawn_local(async move {
        let mut inner = CatchPanic(tokio::task::spawn_local(future));
        match (&mut inner.0).await {
            Ok(value) => done(Ok(value)),
            Err(error) => {
                if let Ok(payload) = error.try_into_panic() {
                    done(Err(StepPanicked(panic_message(payload.as_ref()))));
                }
            }
        }
    }))
}

/// A task handle that aborts the task when it is dropped, so that the inner task ends with the outer one.
struct CatchPanic<T>(JoinHandle<T>);

impl<T> Drop for CatchPanic<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `future` to its end even if the actor that started it exits: for replies that are owed to others.
pub fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(future);
}
