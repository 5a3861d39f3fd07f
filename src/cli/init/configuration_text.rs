//! The text of the first configuration.

use std::fmt::Write;
use std::path::Path;

use crate::cli::init::answers::InitAnswers;
use crate::settings::toml_text::quoted;

/// Returns the configuration of these answers.
pub(super) fn of(answers: &InitAnswers) -> String {
    let InitAnswers { name, reached_at, certificate, push, dir, data_dir, listen, messenger, admin } = answers;
    let shown = |path: &Path| quoted(&path.strip_prefix(dir).unwrap_or(path).display().to_string());
    let mut text = format!(
        "# Written by `fernpost init`. `fernpost config defaults` prints every key with its default and one sentence.\n\n\
         [server]\nname = {}\ndata_dir = {}\n\n\
         # Peers reach this listener at {reached_at}.\n[federation]\nlisten = \"{listen}\"\n",
        quoted(name.as_str()),
        shown(data_dir),
    );
    // Writing to a string cannot fail.
    let _ = match certificate {
        Some(pair) => writeln!(text, "tls = {{ cert = {}, key = {} }}", shown(&pair.cert), shown(&pair.key)),
        None => writeln!(text, "# A reverse proxy on this machine serves TLS; it has to pass on the header Host."),
    };
    let _ = write!(text, "\n[messenger]\nlisten = \"{messenger}\"\ntoken_file = \"messenger.token\"\n");
    if let Some(url) = push {
        let _ = write!(text, "\n[messenger.push]\nurl = {}\nsecret_file = \"push.secret\"\n", quoted(url));
    }
    let _ = write!(text, "\n[admin]\nlisten = \"{admin}\"\ntoken_file = \"admin.token\"\n");
    text + "\n# Peers: one file each in conf.d, as `fernpost join-token use` writes them.\n"
}
