//! The question before a command that destroys something.

use std::io::{BufRead, IsTerminal, Write};

use crate::terminal::format::printable;
use crate::terminal::output::remark;

/// Shows on the terminal what would be done, asks, and returns whether the answer is yes; `None`: there is no terminal, so that nobody
/// can be asked.
pub(crate) fn ask(preview: &str, question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return None;
    }
    if !preview.is_empty() {
        remark!("{}", preview.trim_end());
    }
    let mut terminal = std::io::stderr().lock();
    let asked = write!(terminal, "{} [y/N] ", printable(question)).and_then(|()| terminal.flush());
    let mut answer = String::new();
    Some(asked.is_ok() && std::io::stdin().lock().read_line(&mut answer).is_ok() && is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_confirms() {
        assert!(["y\n", "Y", " yes \n"].into_iter().all(is_yes));
        assert!(!["", "\n", "n\n", "yess\n", "ye"].into_iter().any(is_yes));
    }
}
