//! The pages of the manual: their texts, tables and examples.

use std::fs;
use std::path::{Path, PathBuf};

/// A page: its path from the repository's root, and its text.
pub(crate) struct ManualPage {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// An example of a page: what its first line says behind the fence, and its text.
pub(crate) struct PageExample {
    /// Page and line, for complaints.
    pub(crate) place: String,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the page at a path of the repository.
pub(crate) fn page(path: &str) -> ManualPage {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    ManualPage { path: path.to_owned(), text }
}

/// Returns all pages of `docs/`, and those beside it that they continue.
pub(crate) fn pages() -> Vec<ManualPage> {
    let folder = fs::read_dir(root().join("docs")).expect("a folder");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let mut docs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    docs.sort();
    let names = docs.iter().map(|path| format!("docs/{}", path.file_name().expect("a name").to_string_lossy()));
    let beside = ["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(str::to_owned);
    names.chain(beside).map(|path| page(&path)).collect()
}

impl ManualPage {
    /// Returns the examples, in their order.
    pub(crate) fn examples(&self) -> Vec<PageExample> {
        let mut examples = Vec::new();
        let mut open: Option<PageExample> = None;
        for (at, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    let place = format!("{}:{}", self.path, at + 1);
                    open = Some(PageExample { place, language: language.trim().to_owned(), text: String::new() });
                }
                (Some(_), Some(_)) => examples.extend(open.take()),
                (None, Some(example)) => example.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: an example has no end", self.path);
        examples
    }

    /// Returns the text without its examples.
    pub(crate) fn prose(&self) -> String {
        self.text.split("\n```").step_by(2).collect()
    }

    /// Returns the first cells of the rows of all tables.
    pub(crate) fn first_cells(&self) -> Vec<&str> {
        let rows = self.text.lines().filter_map(|line| line.strip_prefix("| "));
        rows.filter_map(|row| row.split(" |").next()).collect()
    }
}

/// Returns the parts of a text between backticks.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Fails with all complaints, one a line.
#[track_caller]
pub(crate) fn assert_complete(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} to complete:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn page_parts_are_found() {
    let text = "a `b`\n\n```sh run\n# c\n```\n\n| d `e`, `f` | g |\n|---|---|\n".to_owned();
    let page = ManualPage { path: "p.md".to_owned(), text };
    let examples = page.examples();
    assert_eq!((examples.len(), &*examples[0].language, &*examples[0].text), (1, "sh run", "# c\n"));
    assert_eq!(examples[0].place, "p.md:3");
    assert!(!page.prose().contains("# c") && page.prose().contains("| d"), "{}", page.prose());
    assert_eq!(page.first_cells().iter().flat_map(|cell| quoted(cell)).collect::<Vec<_>>(), ["e", "f"]);
}
