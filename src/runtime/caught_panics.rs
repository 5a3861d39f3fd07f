//! Panics of foreign code that our code expects: they are caught and reported in the caller's words, not as bugs.
//!
//! The storage engine panics on some damaged files, and on a few of them again during cleanup. A panic during cleanup
//! cannot be caught: the process aborts. So code that works with a file sets in advance the last line that is printed then.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

/// The message with which the runtime aborts because a destructor panicked after another panic.
const ABORTS: &str = "panic in a destructor during cleanup";

/// Expectations about the panics of a piece of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExpectedPanics {
    /// If true, the panics are reported as well, because they may be bugs of ours.
    pub reported: bool,
    /// The last line and the exit code of a process that cannot continue.
    pub last: Option<(String, i32)>,
}

thread_local! {
    /// The panics that this thread expects of its work.
    static EXPECTED: RefCell<Option<ExpectedPanics>> = const { RefCell::new(None) };
}

/// Runs `work` and returns a panic in it as its message, without a report. The caller must drop whatever `work` was
/// changing when it panicked.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    caught_as(ExpectedPanics::default(), work)
}

/// The same, with other expectations.
pub(crate) fn caught_as<T>(expected: ExpectedPanics, work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = EXPECTED.replace(Some(expected));
    let done = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.replace(outer);
    done.map_err(|payload| message(&*payload))
}

/// Returns the message of a panic.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

/// Reports each panic by `report`, unless this thread expects it. `last_words` prints the last line of a process that
/// aborts; it must return even if nobody reads the log.
pub(crate) fn report_by(
    report: impl Fn(&PanicHookInfo<'_>) + Send + Sync + 'static,
    last_words: impl Fn(&str) + Send + Sync + 'static,
) {
    set_hook(Box::new(move |panic| {
        let expected = EXPECTED.with(|expected| expected.try_borrow().ok()?.clone());
        if expected.as_ref().is_none_or(|expected| expected.reported) {
            report(panic);
        }
        let aborts = || message_of(panic).is_some_and(|words| words == ABORTS);
        if let Some((words, code)) = expected.and_then(|expected| expected.last).filter(|_| aborts()) {
            last_words(&words);
            std::process::exit(code);
        }
    }));
}

fn message_of<'a>(panic: &'a PanicHookInfo<'_>) -> Option<&'a str> {
    let payload = panic.payload();
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caught_panics_give_their_message() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("page {}", 3) }), Err("page 3".to_owned()));
        assert_eq!(caught(|| -> u8 { panic!("a page") }), Err("a page".to_owned()));
        assert_eq!(EXPECTED.take(), None);
    }
}
