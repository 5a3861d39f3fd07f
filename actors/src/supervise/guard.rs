//! `catch_unwind` around one step of a machine.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A step panicked; this is what it said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(pub String);

/// Run a step and turn its panic into a value.
///
/// Unwind safety is asserted because of what the caller does with a [`Panicked`]: it throws away everything the step could
/// have left half done, and loads it anew from the store.
pub fn guard<T>(step: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|payload| Panicked(words(payload.as_ref())))
}

/// What a panic said, where it said it in words.
pub fn words(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_value_with_its_words() {
        assert_eq!(guard(|| 1), Ok(1));
        assert_eq!(guard(|| -> u8 { panic!("seq {} lost", 7) }), Err(Panicked("seq 7 lost".into())));
    }
}
