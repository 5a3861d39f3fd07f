//! Output of commands: answers on stdout, remarks on stderr. A failed write does not stop the command, because the
//! reader may have ended or the disk may be full.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use crate::api::errors::ErrorBody;
use crate::terminal::exit_code::COULD_NOT_RUN;
use crate::terminal::format::printable;

/// Prints the answer of a command for people, and returns `code`. Texts of peers may be part of it, so control
/// characters are escaped.
pub(crate) fn print(answer: &str, code: u8) -> u8 {
    write(printable(answer).as_bytes(), code, false)
}

/// Prints an answer for programs, byte for byte, and returns `code`. Control characters are escaped on a terminal only.
pub(crate) fn print_json(answer: &str, code: u8) -> u8 {
    let line = format!("{}\n", answer.trim_end());
    let shown = if std::io::stdout().is_terminal() { printable(&line) } else { line.as_str().into() };
    write(shown.as_bytes(), code, true)
}

/// Prints the text of a file for another program, byte for byte, and returns `code`.
pub(crate) fn print_script(text: &[u8], code: u8) -> u8 {
    write(text, code, false)
}

/// Writes an answer. A reader that has ended (`| head`) is not an error.
fn write(answer: &[u8], code: u8, json: bool) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(answer).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let words = format!("the answer cannot be written: {error}");
            complain("OUTPUT", &words, json);
            COULD_NOT_RUN
        }
        _ => code,
    }
}

/// Prints a line as `println!` does, but does not panic if the reader has ended.
macro_rules! say {
    ($($words:tt)*) => { $crate::terminal::output::say_line(&format!($($words)*)) };
}

/// Prints a line as `eprintln!` does, but does not panic if the reader has ended.
macro_rules! remark {
    ($($words:tt)*) => { $crate::terminal::output::remark_line(&format!($($words)*)) };
}

pub(crate) use {remark, say};

/// Prints a line on stdout while a command runs. A line that cannot be written is lost.
pub(crate) fn say_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", printable(line)).and_then(|()| out.flush());
}

/// Prints a line on stderr. A line that cannot be written is lost.
pub(crate) fn remark_line(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(line));
}

/// Prints an error on stderr.
pub(crate) fn complain(code: &str, words: &dyn Display, json: bool) {
    let words = words.to_string();
    let words = words.trim_end();
    if json {
        remark_line(&serde_json::to_string(&ErrorBody::new(words, code)).expect("texts always serialize"));
    } else {
        remark_line(words);
    }
}
