//! `admin.tokens`: names, roles, files and what is never shown.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::http::bearer::operator_role::OperatorRole;
use crate::settings::{LoadedSettings, ShownValue};

fn list(entries: &str) -> String {
    format!("[admin]\ntokens = [{entries}]\n")
}

#[test]
fn tokens_have_names_and_roles() {
    let text = list(
        "{ name = \"watch\", role = \"read\", token = \"a-1\" }, { name = \"desk\", role = \"operate\", token = \"b-1\" }, \
         { name = \"desk\", role = \"operate\", token = \"b-2\" }",
    );
    let admin = good(&text).admin;
    let named: Vec<_> = admin.tokens.iter().map(|token| (token.name.as_str(), token.role)).collect();
    assert_eq!(
        named,
        [("watch", OperatorRole::Read), ("desk", OperatorRole::Operate), ("desk", OperatorRole::Operate)]
    );
    assert_eq!(admin.strongest_token().map(SecretValue::expose), Some("b-1"));
    assert_eq!(admin.accepted_tokens().len(), 3);
    let with_own = good(&text.replace("[admin]\n", "[admin]\ntoken = \"c-1\"\n")).admin;
    assert_eq!(with_own.strongest_token().map(SecretValue::expose), Some("c-1"));
}

#[test]
fn wrong_tokens_name_their_entries() {
    let desk = "{ name = \"desk\", role = \"operate\", token = \"b-1\" }";
    for (entries, words) in [
        ("{ name = \"desk\", role = \"operate\" }".to_owned(), "neither token_file nor token"),
        ("{ name = \"a b\", role = \"read\", token = \"x\" }".to_owned(), "a name has 1 to 64"),
        (format!("{desk}, {}", desk.replace("desk", "other")), "the same token as that of \"desk\""),
        (format!("{desk}, {}", desk.replace("operate", "read").replace("b-1", "b-2")), "has the role operate"),
        (
            format!("{desk}, {}, {}", desk.replace("b-1", "b-2"), desk.replace("b-1", "b-3")),
            "two tokens have this name",
        ),
        ("{ name = \"desk\", role = \"read\", token_file = \"none\" }".to_owned(), "cannot be read"),
    ] {
        let why = wrong(&list(&entries));
        assert!(why.len() == 1 && why[0].contains("`admin.tokens`") && why[0].contains(words), "{words}: {why:?}");
    }
    let role = wrong(&list("{ name = \"desk\", role = \"root\", token = \"x\" }"));
    assert!(role[0].contains("admin.tokens[0]") && role[0].contains("administer"), "{role:?}");
}

#[test]
fn misplaced_token_is_not_shown() {
    for text in
        ["[admin]\ntokens = \"sesame\"\n", "[admin]\ntokens = [\"sesame\"]\n", "[admin]\ntokens = [[\"sesame\"]]\n"]
    {
        let why = wrong(text).join("\n");
        assert!(why.contains("token_file") && !why.contains("sesame"), "{why}");
    }
}

#[test]
fn listed_tokens_are_never_shown() {
    let text =
        format!("[server]\nname = \"red\"\n{}", list("{ name = \"desk\", role = \"operate\", token = \"sesame\" }"));
    let sources = Sources::text(text, "/etc/fernpost");
    let shown = ShownValue::all(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    let value = shown.iter().find(|value| value.key == "admin.tokens").expect("it is there");
    assert_eq!(value.value.to_string(), r#"[{"name":"desk","role":"operate","token":"***"}]"#);
    let loaded = LoadedSettings::read(&sources).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!format!("{shown:?}{:?}{:?}", loaded.settings, loaded.written).contains("sesame"));
}

#[test]
fn changed_files_of_tokens_reload() {
    let folder = folder(&[("desk.token", "b-1\n")]);
    let file = folder.path().join("desk.token");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("ours");
    let read = || {
        let text = list("{ name = \"desk\", role = \"operate\", token_file = \"desk.token\" }");
        let sources =
            Sources { to_run: true, ..Sources::text(format!("server.name = \"red\"\n{text}"), folder.path()) };
        LoadedSettings::read(&sources)
    };
    let base = read().unwrap_or_else(|problems| panic!("{problems}"));
    fs::write(&file, "b-2\n").expect("written");
    let changed = read().unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(base.diff(&changed).changed, ["admin.tokens"]);
    assert_eq!(base.adopting(&changed).settings.admin.tokens[0].secret.expose(), "b-2");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("ours");
    let open = read().expect_err("others can read it");
    assert!(open.is_open_secrets() && open.to_string().contains("0644"), "{open}");
}
