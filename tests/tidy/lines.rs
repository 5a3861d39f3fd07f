//! Lines: what a log line and an output line must not contain.

use crate::sources::{Module, assert_none, modules, root, shown, sources};

/// The sigil that makes `tracing` print a field in its Debug form.
fn has_debug_field(line: &str) -> bool {
    line.as_bytes().windows(3).any(|at| matches!(at, [b' ' | b'(', b'?', b'a'..=b'z']))
}

#[test]
fn log_lines_hold_no_debug_forms() {
    assert!(has_debug_field("info!(?fence, n = 1)") && has_debug_field("info!(next = ?next)"));
    assert!(!has_debug_field("let n = read(text)?; f::<T: ?Sized>(\"/queue?after\")"));
    let crates = [root().join("src"), root().join("actors/src")];
    let shipped = crates.iter().flat_map(|folder| modules(folder));
    let found = |module: Module| {
        let lines = module.code.lines().filter(|line| has_debug_field(line)).map(str::to_owned).collect::<Vec<_>>();
        lines.into_iter().map(move |line| format!("{}: {} is not for people: use %", module.path, line.trim()))
    };
    assert_none(&shipped.flat_map(found).collect::<Vec<_>>());
}

/// Macros of the library that end the process with a panic where a write fails.
#[test]
fn nothing_is_printed_that_may_panic() {
    let panics = |line: &&str| line.contains(concat!("print", "ln!("));
    let found = |module: Module| {
        let lines = module.code.lines().filter(panics).map(str::to_owned).collect::<Vec<_>>();
        lines
            .into_iter()
            .map(move |line| format!("{}: {} panics on a full disk: see terminal/output", module.path, line.trim()))
    };
    assert_none(&modules(&root().join("src")).into_iter().flat_map(found).collect::<Vec<_>>());
}

/// Words that begin a question. A doc comment begins with its subject instead.
const QUESTION_WORDS: [&str; 8] = ["What", "Who", "Whether", "Nobody", "How", "Where", "Which", "Why"];

/// Returns the first lines of the doc comments in a text.
fn doc_starts(text: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    let mut is_inside = false;
    for line in text.lines().map(str::trim_start) {
        let doc = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "));
        starts.extend(doc.filter(|_| !is_inside));
        is_inside = line.starts_with("///") || line.starts_with("//!");
    }
    starts
}

#[test]
fn doc_comments_begin_with_subject() {
    assert_eq!(doc_starts("/// A b.\n/// What.\nfn a() {}\n    /// Why.\n"), ["A b.", "Why."]);
    let asks = |start: &&str| start.split(' ').next().is_some_and(|word| QUESTION_WORDS.contains(&word));
    let found = sources().into_iter().flat_map(|(path, text)| {
        let asking = doc_starts(&text).into_iter().filter(asks).map(|line| format!("{}: {line}", shown(&path)));
        asking.collect::<Vec<_>>()
    });
    assert_none(&found.collect::<Vec<_>>());
}
