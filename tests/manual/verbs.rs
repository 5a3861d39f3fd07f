//! Verbs: each command of the command line stands in the first column of a table of docs/operating.md.

use std::collections::BTreeSet;

use clap::Command;

use crate::pages::{assert_complete, page, pages, quoted};

/// Page that lists all commands.
const COMMANDS: &str = "docs/operating.md";

/// Returns the path of each command that can be called, such as `peer list`.
fn verbs(command: &Command, path: &str) -> Vec<String> {
    let inner: Vec<&Command> =
        command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help").collect();
    let is_called = inner.is_empty() || !command.is_subcommand_required_set();
    let own = (is_called && !path.is_empty()).then(|| path.to_owned());
    let below = inner.into_iter().flat_map(|inner| {
        let path = format!("{path} {}", inner.get_name());
        verbs(inner, path.trim_start())
    });
    own.into_iter().chain(below).collect()
}

/// Follows words from a command downwards as far as they are commands. Returns their path.
fn followed(from: &Command, words: &[&str]) -> Vec<String> {
    let Some((first, rest)) = words.split_first() else { return Vec::new() };
    match from.find_subcommand(first) {
        None => Vec::new(),
        Some(inner) => [vec![(*first).to_owned()], followed(inner, rest)].concat(),
    }
}

/// Returns the commands that a cell names. The first one is written with the program; the others may leave out the group, as in
/// "`fernpost peer suspend`, `resume`".
fn named(program: &Command, cell: &str) -> Vec<String> {
    let mut group: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for text in quoted(cell) {
        let words: Vec<&str> = text.split(' ').collect();
        let (is_whole, words) = match words.split_first() {
            Some((&"fernpost", rest)) => (true, rest),
            _ => (false, &*words),
        };
        let inner = group.iter().try_fold(program, |at, name| at.find_subcommand(name)).unwrap_or(program);
        let mut path = if is_whole { Vec::new() } else { followed(inner, words) };
        path = if path.is_empty() { followed(program, words) } else { [group.clone(), path].concat() };
        if let Some((_, above)) = path.split_last() {
            group = above.to_vec();
            found.push(path.join(" "));
        }
    }
    found
}

#[test]
fn every_verb_stands_in_manual() {
    let mut program = fernpost::cli::definition();
    program.build();
    let page = page(COMMANDS);
    let cells = page.first_cells();
    let named: BTreeSet<String> = cells.iter().flat_map(|cell| named(&program, cell)).collect();
    let verbs = verbs(&program, "");
    assert!(verbs.len() > 40, "{verbs:?}");
    let missing = verbs.iter().filter(|verb| !named.contains(*verb));
    let words = |verb: &String| format!("{COMMANDS}: no row of the table of commands begins with `fernpost {verb}`");
    assert_complete(&missing.map(words).collect::<Vec<_>>());
}

#[test]
fn manual_names_existing_verbs() {
    let mut program = fernpost::cli::definition();
    program.build();
    let mut complaints = Vec::new();
    for page in pages() {
        let prose = page.prose();
        for text in quoted(&prose).filter_map(|text| text.strip_prefix("fernpost ")) {
            let words: Vec<&str> = text.split_whitespace().collect();
            let found = followed(&program, &words);
            let at = found.iter().try_fold(&program, |at, name| at.find_subcommand(name)).expect("it was followed");
            let next = words.get(found.len()).filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
            let has_words = at.get_positionals().next().is_some();
            if found.is_empty() && !text.starts_with('-') || next.is_some_and(|_| at.has_subcommands() && !has_words) {
                complaints.push(format!("{}: there is no command `fernpost {text}`", page.path));
            }
            let options = words.iter().filter_map(|word| word.trim_end_matches(',').strip_prefix("--"));
            let is_known = |option: &&str| {
                let name = option.split('=').next().unwrap_or(option);
                matches!(name, "help" | "version") || at.get_arguments().any(|known| known.get_long() == Some(name))
            };
            let unknown = options.filter(|option| !option.is_empty() && !is_known(option));
            complaints.extend(unknown.map(|option| format!("{}: `fernpost {text}` has no --{option}", page.path)));
        }
    }
    assert_complete(&complaints);
}

#[test]
fn named_verbs_keep_their_group() {
    let mut program = fernpost::cli::definition();
    program.build();
    assert_eq!(
        named(&program, "`fernpost peer suspend`, `resume`, `retry NAME`"),
        ["peer suspend", "peer resume", "peer retry"]
    );
    assert_eq!(named(&program, "`fernpost check config`, `config defaults`"), ["check", "config defaults"]);
    assert_eq!(named(&program, "`fernpost keys list`, `peer list`"), ["keys list", "peer list"]);
    assert!(named(&program, "`fernpost peering`, `NAME`").is_empty());
}
