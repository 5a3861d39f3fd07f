//! `catch_unwind` around one step of a machine.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// The message of a step that panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepPanicked(pub String);

/// Runs a step and converts its panic into an error.
///
/// Unwind safety is asserted because of what the caller does with a [`StepPanicked`]: it drops everything that the step may
/// have left half done, and reloads it from the store.
pub fn guard<T>(step: impl FnOnce() -> T) -> Result<T, StepPanicked> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|payload| StepPanicked(panic_message(payload.as_ref())))
}

/// The same for an asynchronous step.
pub async fn guard_future<T>(step: impl Future<Output = T>) -> Result<T, StepPanicked> {
    let mut step = pin!(step);
    poll_fn(|context| match guard(|| step.as_mut().poll(context)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// Returns the message of a panic, if it has one.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_message() {
        assert_eq!(guard(|| 1), Ok(1));
        assert_eq!(guard(|| -> u8 { panic!("seq {} lost", 7) }), Err(StepPanicked("seq 7 lost".into())));
    }
}
