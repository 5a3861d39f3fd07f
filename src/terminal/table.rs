//! Tables for people: aligned columns without lines.

use crate::terminal::format::printable;

/// The alignment of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnAlign {
    /// Left, for text.
    Left,
    /// Right, for numbers.
    Right,
}

/// A table that is being built.
pub(crate) struct TextTable {
    columns: Vec<(String, ColumnAlign)>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// Returns a table with these headings.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, ColumnAlign)>) -> Self {
        let columns = columns.into_iter().map(|(head, align)| (head.to_owned(), align)).collect();
        Self { columns, rows: vec![] }
    }

    /// Adds a row with one text per column.
    pub(crate) fn row(&mut self, mut row: Vec<String>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a text a column");
        // Escaped before widths are counted: columns stand under their heads whatever a peer has written.
        for cell in &mut row {
            *cell = printable(cell).into_owned();
        }
        self.rows.push(row);
    }

    /// Returns the printed form. Columns without any text are omitted.
    pub(crate) fn text(&self) -> String {
        let heads: Vec<String> = self.columns.iter().map(|(head, _)| head.clone()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heads).chain(&self.rows).collect();
        let width = |column: usize| {
            let says = self.rows.iter().any(|row| !row[column].is_empty());
            says.then(|| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        };
        let widths: Vec<Option<usize>> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut printed = String::new();
            for (column, cell) in line.iter().enumerate() {
                let Some(width) = widths[column] else { continue };
                if !printed.is_empty() {
                    printed.push_str("  ");
                }
                printed.push_str(&match self.columns[column].1 {
                    ColumnAlign::Left => format!("{cell:<width$}"),
                    ColumnAlign::Right => format!("{cell:>width$}"),
                });
            }
            text.push_str(printed.trim_end());
            text.push('\n');
        }
        text
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
}
