//! What each side expected and what it has, as a table.

use std::io::{IsTerminal, Write};

use crate::cli::output::say;

/// One side's row.
pub(super) struct Row {
    /// Whose.
    pub(super) name: &'static str,
    /// How many should have arrived.
    pub(super) expected: usize,
    /// How many different ones did.
    pub(super) received: usize,
    /// How many came under more than one event.
    pub(super) twice: usize,
    /// How many came before something they should have come after.
    pub(super) too_early: usize,
}

impl Row {
    const fn is_fine(&self) -> bool {
        self.received == self.expected && self.twice == 0 && self.too_early == 0
    }
}

/// Print the table; tells whether all is as it should be.
pub(super) fn print(rows: &[Row]) -> bool {
    say!("\nside   expected  received  missing  twice  too early");
    for row in rows {
        let Row { name, expected, received, twice, too_early } = row;
        let missing = expected.saturating_sub(*received);
        say!("{name:<6} {expected:>8}  {received:>8}  {missing:>7}  {twice:>5}  {too_early:>9}");
    }
    let fine = rows.iter().all(Row::is_fine);
    say!("{}\n", if fine { "All there, once, in order." } else { "SOMETHING IS WRONG." });
    fine
}

/// Progress on a terminal, in place.
pub(super) fn progress(text: &str) {
    if std::io::stdout().is_terminal() {
        print!("\r  {text:<70}\r");
        // Progress that cannot be shown is not worth ending for.
        let _ = std::io::stdout().flush();
    }
}
