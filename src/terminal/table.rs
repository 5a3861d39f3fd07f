//! Tables for people: aligned columns without lines. They are as wide as their content, on a terminal and in a file.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};

use crate::terminal::format::printable;

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnAlign {
    /// Left, for text.
    Left,
    /// Right, for numbers.
    Right,
}

/// Distance between columns.
const GAP: u16 = 2;

/// A table that is being built.
pub(crate) struct TextTable(Table);

impl TextTable {
    /// Returns a table with these headings.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, ColumnAlign)>) -> Self {
        let (heads, aligns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(heads);
        for (column, align) in table.column_iter_mut().zip(aligns) {
            column.set_padding((0, GAP)).set_cell_alignment(match align {
                ColumnAlign::Left => CellAlignment::Left,
                ColumnAlign::Right => CellAlignment::Right,
            });
        }
        Self(table)
    }

    /// Adds a row with one text per column.
    pub(crate) fn row(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.0.column_count(), "a text a column");
        // Texts are escaped before widths are computed, so that a peer's text cannot break the alignment.
        self.0.add_row(row.into_iter().map(|cell| printable(&cell).into_owned()));
    }

    /// Returns the printed form. Columns without any text are omitted.
    pub(crate) fn text(mut self) -> String {
        let rows = &self.0;
        let is_empty = |column: usize| rows.column_cells_iter(column).flatten().all(|cell| cell.content().is_empty());
        let empty: Vec<usize> = (0..rows.column_iter().count()).filter(|&column| is_empty(column)).collect();
        for column in empty {
            if let Some(column) = self.0.column_mut(column) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
        format!("{}\n", self.0.trim_fmt())
    }
}

#[cfg(test)]
mod tests {
    use super::ColumnAlign::{Left, Right};
    use super::*;

    #[test]
    fn table_aligns_columns_omits_empty() {
        let mut table = TextTable::new([("PEER", Left), ("BACKLOG", Right), ("NEXT", Left), ("LAST ERROR", Left)]);
        for (peer, backlog, error) in [("blue.example", "1,204", "no route"), ("gr\u{fc}n", "7", "")] {
            table.row(vec![peer.to_owned(), backlog.to_owned(), String::new(), error.to_owned()]);
        }
        let expected =
            "PEER          BACKLOG  LAST ERROR\nblue.example    1,204  no route\ngr\u{fc}n                7\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn table_counts_columns_by_width() {
        let mut table = TextTable::new([("CONTEXT", Left), ("HEADS", Right)]);
        table.row(vec!["\u{6771}\u{4eac}".to_owned(), "1".to_owned()]);
        table.row(vec!["a\u{1b}b".to_owned(), "20".to_owned()]);
        assert_eq!(table.text(), "CONTEXT   HEADS\n\u{6771}\u{4eac}          1\na\\u001bb     20\n");
    }

    #[test]
    fn table_is_never_cut() {
        let mut table = TextTable::new([("REASON", Left)]);
        let long = "why ".repeat(1000);
        table.row(vec![long.clone()]);
        assert_eq!(table.text(), format!("REASON\n{}\n", long.trim_end()));
    }
}
