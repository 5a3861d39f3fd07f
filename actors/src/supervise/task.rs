//! Runs foreign futures outside the actor: a panic becomes a value, and dropping the handle aborts the future.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

use crate::supervise::catch_panic::{StepPanicked, panic_message};

/// A running future; dropping the handle aborts it.
pub type IsolatedTask = AbortOnDropHandle<()>;

/// Runs `future` on its own task of this thread, and passes its result or its panic to `done`.
pub fn spawn_abortable<T: 'static>(
    future: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T, StepPanicked>) + 'static,
) -> IsolatedTask {
    AbortOnDropHandle::new(tokio::task::spawn_local(async move {
        // The inner task isolates the panic, and ends with the outer one.
        match AbortOnDropHandle::new(tokio::task::spawn_local(future)).await {
            Ok(value) => done(Ok(value)),
            Err(error) => {
                if let Ok(payload) = error.try_into_panic() {
                    done(Err(StepPanicked(panic_message(payload.as_ref()))));
                }
            }
        }
    }))
}

/// Runs `future` to its end even if the actor that started it exits: for replies that are owed to others.
pub fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(future);
}
