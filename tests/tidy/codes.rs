//! Codes of errors: each code in the source stands in a table of a document, and each code of the tables is in the source.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::sources::{Module, assert_none, modules, root};

/// The documents that have the codes of the files below a path; the first line that fits counts. Files without a document describe
/// what others answer.
const DOCUMENTED_IN: &[(&str, &str, &[&str])] = &[
    ("src", "wire/", &["protocol.md"]),
    ("src", "http/authentication", &["protocol.md"]),
    ("src", "http/body", &["protocol.md"]),
    ("src", "tls/", &["protocol.md"]),
    ("src", "app/peer_explainer", &["connecting.md"]),
    ("src", "app/strangers", &["protocol.md"]),
    ("src", "cli/peer/add", &["operating.md"]),
    ("src", "cli/peer/changed_configuration", &["operating.md"]),
    ("src", "cli/peer/remove", &["operating.md", "messenger.md"]),
    ("src", "cli/check", &["operating.md", "connecting.md", "protocol.md"]),
    ("src", "cli/init", &["install.md"]),
    ("src", "cli/join_token", &["connecting.md", "protocol.md"]),
    ("src", "messenger/operations", &[]),
    ("src", "admin/operations", &[]),
    ("src", "openapi/", &[]),
    ("src", "messenger/", &["messenger.md"]),
    ("src", "admin/", &["operating.md", "messenger.md"]),
    ("src", "http/", &["protocol.md", "messenger.md", "operating.md"]),
    ("actors/src", "", &["protocol.md"]),
];

/// Capital letters that are no code: they stand for something else in the files above.
const NO_CODES: &[&str] = &[
    "POST",    // a method
    "CONNECT", // a method
    "AAAA",    // a type of DNS records
    "PARKED",  // what the trace shows if a peer parked an item without a code
];

/// The shortest code; `GET`, `PUT` and `PDU` are no codes.
const CODE_LENGTH_MIN: usize = 4;

fn is_code(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    text.len() >= CODE_LENGTH_MIN && text.chars().all(is_letter) && text.starts_with(|c: char| c.is_ascii_uppercase())
}

/// Returns the string literals of a file that have the form of a code. Literals are found line by line between two quotes:
/// an escaped quote shifts the rest of its line, in which case a text between two literals is looked at, which is no code.
fn codes_of(module: &Module) -> BTreeSet<&str> {
    let between_quotes = module.code.lines().flat_map(|line| line.split('"').skip(1));
    between_quotes.filter(|text| is_code(text) && !NO_CODES.contains(text)).collect()
}

/// Returns the codes in the first column of the tables that have a header `code`.
fn codes_of_tables(text: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    let mut is_in_table = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            is_in_table &= line.starts_with('|');
            continue;
        };
        let first = row.split(" |").next().unwrap_or_default();
        is_in_table |= first == "code" || first.starts_with("code of ");
        if is_in_table {
            codes.extend(first.split('`').filter(|text| is_code(text)).map(str::to_owned));
        }
    }
    codes
}

fn documented(page: &str) -> BTreeSet<String> {
    codes_of_tables(&fs::read_to_string(root().join("docs").join(page)).expect("a page"))
}

/// Returns the codes of the source, each with its file and the pages in one of which it has to stand.
fn codes_in_source() -> Vec<(String, String, &'static [&'static str])> {
    let mut found = Vec::new();
    for folder in ["src", "actors/src"] {
        for module in modules(&root().join(folder)) {
            let of_file =
                |(crate_root, path, _): &&(&str, &str, _)| *crate_root == folder && module.path.starts_with(path);
            let pages = DOCUMENTED_IN.iter().find(of_file).map(|(_, _, pages)| *pages);
            let Some(pages) = pages.filter(|pages| !pages.is_empty()) else { continue };
            let file = format!("{folder}/{}", module.path);
            found.extend(codes_of(&module).into_iter().map(|code| (code.to_owned(), file.clone(), pages)));
        }
    }
    found
}

#[test]
fn every_code_stands_in_a_document() {
    let missing = codes_in_source().into_iter().filter_map(|(code, file, pages)| {
        let is_there = pages.iter().any(|page| documented(page).contains(&code));
        (!is_there).then(|| format!("{file}: {code} stands in no table of codes of docs/{}", pages.join(", docs/")))
    });
    assert_none(&missing.collect::<Vec<_>>());
}

#[test]
fn every_documented_code_is_in_source() {
    let codes: BTreeSet<String> = codes_in_source().into_iter().map(|(code, ..)| code).collect();
    let mut complaints = Vec::new();
    for page in ["protocol.md", "messenger.md", "operating.md", "connecting.md", "install.md"] {
        let invented = documented(page).into_iter().filter(|code| !codes.contains(code));
        complaints
            .extend(invented.map(|code| format!("docs/{page} has the code {code}, which is nowhere in the source")));
    }
    assert_none(&complaints);
}

/// Codes that no request to a private listener is refused with.
const NOT_IN_APIS: &[&str] = &[
    "REFUSED_BY_PEER", // these five are codes of rows in the operator's quarantine
    "PARKED_BY_PEER",
    "EXPIRED",
    "TAKEN_OUT",
    "REJECTED_BY_MESSENGER",
    "GROUP_FORM", // these seven are reasons for which items stay in a queue, in an answer
    "NARROWED",
    "NOT_RECORDED",
    "PARTLY_SENT",
    "RELAYED",
    "SENT_TO_BOTH",
    "TOO_LARGE",
    "FILE_EXISTS", // only in the log: the backup fails later
];

/// Returns the codes in the descriptions of the refusals of an API.
fn described(document: &Value) -> BTreeSet<String> {
    match document {
        Value::Array(items) => items.iter().flat_map(described).collect(),
        Value::Object(members) => {
            let own = members.get("code").and_then(|code| code["enum"].as_array()).into_iter().flatten();
            let own = own.filter_map(|code| code.as_str().map(str::to_owned));
            own.chain(members.values().flat_map(described)).collect()
        }
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_code_stands_in_openapi() {
    let apis = [
        ("src/messenger/", described(&fernpost::messenger::document())),
        ("src/admin/", described(&fernpost::admin::document())),
    ];
    let mut complaints = Vec::new();
    for (code, file, _) in codes_in_source() {
        let Some((_, described)) = apis.iter().find(|(folder, _)| file.starts_with(folder)) else { continue };
        let is_outward = ["/push/", "/events/render"].iter().any(|part| file.contains(part));
        if !is_outward && !NOT_IN_APIS.contains(&&*code) && !described.contains(&code) {
            complaints.push(format!("{file}: {code} stands in no refusal of /openapi.json"));
        }
    }
    let known: BTreeSet<String> = codes_in_source().into_iter().map(|(code, ..)| code).collect();
    let invented = apis.iter().flat_map(|(_, codes)| codes).filter(|code| is_code(code) && !known.contains(*code));
    complaints
        .extend(invented.map(|code| format!("/openapi.json has the code {code}, which is nowhere in the source")));
    assert_none(&complaints);
}

#[test]
fn code_scan_finds_literals_and_rows() {
    let code = "refused(\"OWN_KEY\", format!(\"{x:?} is POST\"));\n    \"BUSY\",\nput(\"PDU\");\n".to_owned();
    let module = Module { path: "wire/a".to_owned(), code };
    assert_eq!(codes_of(&module).into_iter().collect::<Vec<_>>(), ["BUSY", "OWN_KEY"]);
    let table = "| case | x |\n|---|---|\n| `LOUD` | 1 |\n\n| code | x |\n|---|---|\n| `TOO_OLD`, `TOO_NEW` | `SKEW_MS` |\n\n`NEITHER`";
    assert_eq!(codes_of_tables(table).into_iter().collect::<Vec<_>>(), ["TOO_NEW", "TOO_OLD"]);
}
