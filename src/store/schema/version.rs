//! The version of the schema: of the tables, of the rows in them, and of the log beside the file.

/// The schema version that this program writes.
pub const SCHEMA: u32 = 7;

/// The schema versions that this program converts. Version 4 had no log, version 5 no rows in blocks, and version 6 no PDUs in blocks and no
/// key of digests; the version was raised each time because a program that does not know them would lose what they hold.
pub(crate) const SCHEMAS_BEFORE: [u32; 3] = [4, 5, 6];

/// Key of the version in `meta`.
pub(crate) const SCHEMA_KEY: &str = "schema";

/// Returns whether this program can read a store of this schema version: its own, and those that it converts.
pub(crate) fn is_known_schema(found: &str) -> bool {
    found == SCHEMA.to_string() || version_before(found).is_some()
}

/// Returns the version that this program has to convert, if it is one.
pub(crate) fn version_before(found: &str) -> Option<u32> {
    SCHEMAS_BEFORE.into_iter().find(|before| found == before.to_string())
}

/// Returns the version of a store whose conversion has begun. No program can use such a store except by ending the conversion, and
/// other programs refuse it by this word.
pub(crate) fn converting(from: u32) -> String {
    format!("{from}-to-{SCHEMA}")
}

/// Returns what to do about a store of another schema version.
pub(crate) fn schema_remedy(found: &str, known: u32) -> String {
    if found.parse::<u32>().is_ok_and(|found| found > known) {
        return format!(
            ": a newer version of Fernpost wrote it, so start that one; to go back to this one, put the copy back that the newer one \
             made beside the store (fernpost.schema-{known}.redb), or restore a backup, both without what came after"
        );
    }
    if found.contains("-to-") {
        return ": its conversion was interrupted; start the version of Fernpost again that began it".to_owned();
    }
    " and cannot convert it; start the program that wrote it, or move the file away to start with an empty store"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedy_depends_on_direction() {
        assert!(schema_remedy("6", 5).contains("fernpost.schema-5.redb"));
        assert!(schema_remedy("10", 9).contains("a newer version"), "versions are numbers");
        assert!(schema_remedy("5-to-6", 5).contains("was interrupted"));
        for older in ["3", "", "banana"] {
            assert!(schema_remedy(older, 5).contains("start the program that wrote it"), "{older}");
        }
    }
}
