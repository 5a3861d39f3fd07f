//! Futures of other code, kept outside the actor: a panic in one is a value, and dropping the handle ends it.

use std::future::Future;

use tokio::task::JoinHandle;

use super::guard::{Panicked, words};

/// A running future; dropping it aborts.
#[derive(Debug)]
pub struct Isolated(JoinHandle<()>);

impl Drop for Isolated {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Run `future` on its own task of this thread, and hand its result, or its panic, to `done`.
pub fn isolated<T: 'static>(
    future: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T, Panicked>) + 'static,
) -> Isolated {
    Isolated(tokio::task::spawn_local(async move {
        let mut inner = Inner(tokio::task::spawn_local(future));
        match (&mut inner.0).await {
            Ok(value) => done(Ok(value)),
            Err(error) => {
                if let Ok(payload) = error.try_into_panic() {
                    done(Err(Panicked(words(payload.as_ref()))));
                }
            }
        }
    }))
}

/// The inner task ends with the outer one.
struct Inner<T>(JoinHandle<T>);

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Run `future` to its end whatever becomes of the actor that started it: for answers that are owed to somebody else.
pub fn detached(future: impl Future<Output = ()> + 'static) {
    tokio::task::spawn_local(future);
}
