//! The search for runs of rows that are written next to each other.

/// Returns the first column of a key of two, which is a text, as redb writes it. The rows of a run have it in common, because such rows
/// are appended: a block with rows of two servers would lie around all later rows of the first.
pub(super) fn first_column(key: &[u8]) -> &[u8] {
    let end = match key {
        [length @ 0..=253, ..] => 1 + usize::from(*length),
        [254, low, high, ..] => 3 + usize::from(u16::from_le_bytes([*low, *high])),
        [255, a, b, c, d, ..] => 5 + u32::from_le_bytes([*a, *b, *c, *d]) as usize,
        _ => 0,
    };
    key.get(..end).unwrap_or(key)
}

/// Maximum number of rows that are written one by one before a run is looked for again.
const RUN_PAUSE_MAX: u32 = 64;

/// The search for runs in a table. A table whose keys are scattered has none, so the search pauses for longer each time that
/// it finds none.
#[derive(Debug, Default)]
pub(crate) struct RunSearch {
    pause: u32,
    left: u32,
}

impl RunSearch {
    /// Returns whether a run is to be looked for at the next row.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        is_due
    }

    /// Notes whether there was a run, and returns it.
    pub(crate) fn note(&mut self, found: bool) -> bool {
        self.pause = if found { 0 } else { (2 * self.pause + 1).min(RUN_PAUSE_MAX) };
        self.left = self.pause;
        found
    }
}

#[cfg(test)]
mod tests {
    use redb::Value;

    use super::*;

    #[test]
    fn first_column_ends_where_second_begins() {
        for length in [0, 1, 253, 254, 255, 256, 65_535, 65_536, 70_000] {
            let name = "n".repeat(length);
            let key = <(&str, u64)>::as_bytes(&(&*name, 7));
            assert_eq!(first_column(&key).len(), key.len() - 8, "{length}");
            assert!(first_column(&key).ends_with(name.as_bytes()));
            let key = <(&str, &str)>::as_bytes(&(&*name, "id"));
            assert_eq!(first_column(&key).len(), key.len() - 2, "{length}");
        }
        for damaged in [&b""[..], &[9, 1], &[254, 1], &[255, 0, 0, 0], &[255, 255, 255, 255, 255]] {
            assert!(damaged.starts_with(first_column(damaged)));
        }
    }
}
