//! Methods of a type: in how many files they may be.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{assert_none, modules, root};

/// Folders of the gateway in which a type has all its methods in one file, so that its private fields are its own.
const WHOLE_TYPES: &[&str] = &["store/write"];

/// Maximum number of files with methods of one type. A type with more of them is one object cut into slices that all change
/// the same fields; give its parts to types that own theirs.
const FILES_MAX: usize = 2;

/// Returns the type whose inherent `impl` a line begins, if it begins one.
fn inherent_impl(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(generics) => {
            let mut depth = 1;
            let end = generics.find(|c| {
                depth += i32::from(c == '<') - i32::from(c == '>');
                depth == 0
            })?;
            &generics[end + 1..]
        }
        None => rest,
    };
    let name = rest.strip_prefix(' ')?.split(['<', ' ', '{']).next()?;
    (!rest.contains(" for ")).then_some(name)
}

/// Returns the files of a crate in which each type has methods.
fn files_of_types(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for module in modules(&root().join(folder)) {
        for name in module.code.lines().filter_map(inherent_impl) {
            files.entry(name.to_owned()).or_default().insert(module.path.clone());
        }
    }
    files
}

#[test]
fn types_have_methods_in_two_files() {
    for folder in ["src", "actors/src"] {
        let sliced = files_of_types(folder).into_iter().filter(|(_, files)| files.len() > FILES_MAX);
        let complaints = sliced.map(|(name, files)| format!("{name} has methods in {files:?}; give its parts types"));
        assert_none(&complaints.collect::<Vec<_>>());
    }
}

#[test]
fn methods_of_store_writers_stay_together() {
    let is_whole = |file: &String| WHOLE_TYPES.iter().any(|folder| file.starts_with(&format!("{folder}/")));
    let sliced = files_of_types("src").into_iter().filter(|(_, files)| files.len() > 1 && files.iter().any(is_whole));
    let complaints = sliced.map(|(name, files)| format!("{name} has methods in {files:?}; give it one file"));
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn impl_scan_finds_every_form() {
    assert_eq!(inherent_impl("impl WriteBatch<'_> {"), Some("WriteBatch"));
    assert_eq!(inherent_impl("impl<'t, K: Key<A> + 'static> LazyTable<'t, K> {"), Some("LazyTable"));
    assert_eq!(inherent_impl("impl<'t> Drop for LazyTable<'t> {"), None);
    assert_eq!(inherent_impl("implement();"), None);
}
