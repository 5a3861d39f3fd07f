//! The result table: expected and received items of each side.

use std::io::{IsTerminal, Write};

use crate::terminal::output::say;
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// The row of one side.
pub(super) struct ComparisonRow {
    /// Name of the side.
    pub(super) name: &'static str,
    /// Number of items that should have arrived.
    pub(super) expected: usize,
    /// Number of different items that arrived.
    pub(super) received: usize,
    /// Number of items that arrived as more than one event.
    pub(super) twice: usize,
    /// Number of items that arrived before an item that precedes them.
    pub(super) too_early: usize,
}

impl ComparisonRow {
    const fn is_fine(&self) -> bool {
        self.received == self.expected && self.twice == 0 && self.too_early == 0
    }
}

/// Prints the table, and returns whether all rows are correct.
pub(super) fn print(rows: &[ComparisonRow]) -> bool {
    let numbers = ["expected", "received", "missing", "twice", "too early"].map(|head| (head, Right));
    let mut table = TextTable::new(std::iter::once(("side", Left)).chain(numbers));
    for row in rows {
        let ComparisonRow { name, expected, received, twice, too_early } = row;
        let missing = expected.saturating_sub(*received);
        let numbers = [*expected, *received, missing, *twice, *too_early].map(|number| number.to_string());
        table.row(std::iter::once((*name).to_owned()).chain(numbers).collect());
    }
    say!("\n{}", table.text().trim_end());
    let fine = rows.iter().all(ComparisonRow::is_fine);
    let result = match fine {
        true => "All items were received once and in order.",
        false => "FAILED: items are missing, repeated or too early.",
    };
    say!("{result}\n");
    fine
}

/// Shows progress on a terminal, on one line.
pub(super) fn progress(text: &str) {
    if std::io::stdout().is_terminal() {
        print!("\r  {text:<70}\r");
        // A failed progress output must not end the demo.
        let _ = std::io::stdout().flush();
    }
}
