//! Names of types and functions: unique, of the field's vocabulary, and of more than one word where others use them.

use std::collections::BTreeMap;

use crate::sources::{Module, assert_none, modules, root, shown, sources};

/// Public types whose name is one word. The list only shrinks: a new public type gets a name of two words or more.
const ONE_WORD_TYPES: &[&str] = &[
    "Ack",
    "App",
    "Attempt",
    "Change",
    "Classified",
    "Clock",
    "Congestion",
    "Delivery",
    "Dialect",
    "Digest",
    "Direction",
    "Disk",
    "Dispatch",
    "Edu",
    "Fence",
    "Gap",
    "Gateway",
    "Head",
    "Inbound",
    "Item",
    "Journal",
    "Listeners",
    "Membership",
    "Numbering",
    "Outbound",
    "Outbox",
    "Ownership",
    "Pdu",
    "Ports",
    "Pull",
    "Receipt",
    "Router",
    "Settings",
    "Soon",
    "Sources",
    "Store",
    "Submission",
    "Task",
    "Timer",
    "Transport",
    "Wake",
    "Watermarks",
];

/// Old words that no name of a type or a function contains. The glossary in `actors/README.md` has the words in use.
const REFUSED_WORDS: &[&str] = &[
    "acquaintance",
    "admitted",
    "armed",
    "arrival",
    "believed",
    "berth",
    "birth",
    "brief",
    "chronicle",
    "circle",
    "claiming",
    "closing",
    "complaint",
    "conversation",
    "convicted",
    "culprit",
    "death",
    "desk",
    "doubt",
    "fly",
    "frame",
    "gauge",
    "gist",
    "housekeeping",
    "killers",
    "knowledge",
    "lately",
    "life",
    "lifeline",
    "obey",
    "orders",
    "reborn",
    "rests",
    "rides",
    "rig",
    "roll",
    "rounds",
    "seat",
    "seldom",
    "shell",
    "slots",
    "spoken",
    "strange",
    "surroundings",
    "toy",
    "untouched",
    "weigh",
    "woken",
];

/// Old words that no name of a type contains; some functions still have them.
const REFUSED_IN_TYPES: &[&str] = &[
    "arm", "bear", "bond", "bookmark", "deaths", "door", "edge", "flaw", "fleeting", "forget", "free", "habits",
    "heard", "label", "lacking", "lane", "left", "moment", "newest", "pace", "park", "past", "stranger", "tell",
    "threads", "told", "wanted", "weight", "word", "words",
];

/// A name that product code or a shared fixture defines.
struct Definition {
    name: String,
    /// Path of the file, from the repository's root.
    file: String,
    is_type: bool,
    is_public: bool,
}

/// Returns the definition that a line begins, if it begins one. An indented `type` is an associated type, whose name the
/// trait gives.
fn definition(file: &str, line: &str) -> Option<Definition> {
    let start = line.trim_start();
    let (is_public, start) = match start.strip_prefix("pub") {
        Some(inner) if inner.starts_with('(') => (false, inner.split_once(") ").map_or("", |(_, behind)| behind)),
        Some(inner) if inner.starts_with(' ') => (true, inner.trim_start()),
        _ => (false, start),
    };
    let mut words = start.split_whitespace().skip_while(|word| ["const", "async", "unsafe"].contains(word));
    let is_type = match words.next()? {
        "struct" | "enum" | "trait" | "union" => true,
        "type" if !line.starts_with(' ') => true,
        "fn" => false,
        _ => return None,
    };
    let name: String = words.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then(|| Definition { name, file: file.to_owned(), is_type, is_public })
}

fn definitions() -> Vec<Definition> {
    let of_module = |folder: &str, module: Module| {
        let file = format!("{folder}/{}", module.path);
        module.code.lines().filter_map(|line| definition(&file, line)).collect::<Vec<_>>()
    };
    let folders = ["src", "actors/src", "tests/support/src"].into_iter();
    folders.flat_map(|folder| modules(&root().join(folder)).into_iter().flat_map(|m| of_module(folder, m))).collect()
}

/// Returns the words of a name, in lower case: of a type by its capitals, of a function by its underscores.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    let letters: Vec<char> = name.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let is_next_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        let is_after_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
        if *letter == '_' || (letter.is_ascii_uppercase() && at > 0 && (is_after_lower || is_next_lower)) {
            words.push(String::new());
        }
        words.last_mut().expect("it has one").extend(letter.to_lowercase().filter(|letter| *letter != '_'));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the refused word that a definition contains.
fn refused(definition: &Definition) -> Option<String> {
    let is_refused = |word: &String| {
        let is_in_type = definition.is_type && REFUSED_IN_TYPES.contains(&word.as_str());
        is_in_type || REFUSED_WORDS.contains(&word.as_str())
    };
    words(&definition.name).into_iter().find(is_refused)
}

#[test]
fn type_names_are_unique() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Definition { name, file, .. } in definitions().into_iter().filter(|definition| definition.is_type) {
        files.entry(name).or_default().push(file);
    }
    let twice = files.into_iter().filter(|(_, files)| files.len() > 1);
    assert_none(
        &twice.map(|(name, files)| format!("{name} is defined in {}", files.join(" and "))).collect::<Vec<_>>(),
    );
}

#[test]
fn one_word_public_types_are_listed() {
    let definitions = definitions();
    let is_short = |d: &&Definition| d.is_type && d.is_public && words(&d.name).len() == 1;
    let short: Vec<&Definition> = definitions.iter().filter(is_short).collect();
    let new = short.iter().filter(|definition| !ONE_WORD_TYPES.contains(&definition.name.as_str()));
    let new = new.map(|Definition { name, file, .. }| format!("{file}: {name} needs a name of two words or more"));
    let gone = ONE_WORD_TYPES.iter().filter(|name| !short.iter().any(|definition| definition.name == **name));
    let gone = gone.map(|name| format!("{name} is no public type any more; take it off the list"));
    assert_none(&new.chain(gone).collect::<Vec<_>>());
}

#[test]
fn names_hold_no_refused_words() {
    let found = definitions().into_iter().filter_map(|definition| {
        let word = refused(&definition)?;
        Some(format!("{}: {} contains \"{word}\"; see the glossary", definition.file, definition.name))
    });
    assert_none(&found.collect::<Vec<_>>());
}

#[test]
fn name_scan_finds_every_form() {
    let found = |line: &str| definition("a", line).map(|d| (d.name, d.is_type, d.is_public));
    assert_eq!(found("pub struct Told<'a> {"), Some(("Told".to_owned(), true, true)));
    assert_eq!(found("pub(crate) const fn rest(&self)"), Some(("rest".to_owned(), false, false)));
    assert_eq!(found("    pub async fn go_on(&self)"), Some(("go_on".to_owned(), false, true)));
    assert_eq!(found("    type Error = DraftError;"), None);
    assert_eq!(found("const LIMIT: u8 = 1;"), None);
    assert_eq!(words("HTTPServerName2"), ["http", "server", "name2"]);
    assert_eq!(words("is_on_hold"), ["is", "on", "hold"]);
    let refuses = |line: &str| definition("a", line).and_then(|definition| refused(&definition));
    assert_eq!(refuses("struct StrangeList;"), Some("strange".to_owned()));
    assert_eq!(refuses("fn told() {}"), None);
    assert_eq!(refuses("enum PeerTold {"), Some("told".to_owned()));
}

/// Maximum number of words in the name of a test.
const TEST_WORDS_MAX: usize = 6;

/// Returns the names of the tests in a source text: the function that follows a `#[test]` attribute of any runtime.
fn tests_in(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test") || line.starts_with("#[tokio::test") || line.starts_with("#[actix_web::test") {
            is_test = true;
        } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("#[")) {
            names.push(name.split(['(', '<']).next().unwrap_or(name));
            is_test = false;
        }
    }
    names
}

#[test]
fn test_names_have_six_words() {
    let long = sources().into_iter().flat_map(|(path, text)| {
        let long = tests_in(&text).into_iter().filter(|name| words(name).len() > TEST_WORDS_MAX);
        long.map(|name| format!("{}: {name} has more than {TEST_WORDS_MAX} words", shown(&path))).collect::<Vec<_>>()
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn test_scan_finds_every_runtime() {
    let text = "#[test]\nfn a() {}\nfn no() {}\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn b_c() {}\n";
    assert_eq!(tests_in(text), ["a", "b_c"]);
}
