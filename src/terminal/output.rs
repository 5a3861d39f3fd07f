//! Output of commands: answers on stdout, remarks on stderr. A write that fails ends no work in progress, because the reader may
//! have gone or the disk may be full.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use crate::api::errors::ErrorBody;
use crate::terminal::exit_code::COULD_NOT_RUN;
use crate::terminal::format::printable;

/// Print the whole answer of a command, which is for people, and end with `code`. What peers wrote stands in it: what would
/// steer a terminal is shown as an escape.
pub(crate) fn print(answer: &str, code: u8) -> u8 {
    write(&printable(answer), code, false)
}

/// Print an answer that is for programs, byte for byte, and end with `code`. Only a terminal is protected from it.
pub(crate) fn print_json(answer: &str, code: u8) -> u8 {
    let line = format!("{}\n", answer.trim_end());
    if std::io::stdout().is_terminal() { write(&printable(&line), code, true) } else { write(&line, code, true) }
}

/// A reader that has gone (`| head`) has what it wanted.
fn write(answer: &str, code: u8, json: bool) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let words = format!("the answer cannot be written: {error}");
            complain("OUTPUT", &words, json);
            COULD_NOT_RUN
        }
        _ => code,
    }
}

/// `println!`, which would end the process with a panic where nobody reads any more.
macro_rules! say {
    ($($words:tt)*) => { $crate::terminal::output::say_line(&format!($($words)*)) };
}

/// `eprintln!`, in the same way.
macro_rules! remark {
    ($($words:tt)*) => { $crate::terminal::output::remark_line(&format!($($words)*)) };
}

pub(crate) use {remark, say};

/// A line on stdout, of a command that says something while it runs. What cannot be written is lost.
pub(crate) fn say_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", printable(line)).and_then(|()| out.flush());
}

/// A line on stderr. What cannot be written is lost.
pub(crate) fn remark_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(line));
}

/// Say on stderr what failed.
pub(crate) fn complain(code: &str, words: &dyn Display, json: bool) {
    let words = words.to_string();
    let words = words.trim_end();
    if json {
        remark_line(&serde_json::to_string(&ErrorBody::new(words, code)).expect("texts always serialize"));
    } else {
        remark_line(words);
    }
}
