//! Removal of secrets and of texts from a bundle.
//!
//! Nothing in a bundle has the text of a message by design; what a peer or the messenger said of one may repeat it, so these words are
//! left out, and their codes stay. Secrets of the configuration are replaced wherever they stand.

use serde_json::Value;
use zeroize::Zeroizing;

use crate::settings::{SecretValue, Settings};

/// Text in place of a secret.
const HIDDEN: &str = "***";

/// Text in place of words of others.
const LEFT_OUT: &str = "(left out)";

/// Shortest secret that is searched for: a shorter one stands in other words by chance.
const SECRET_MIN: usize = 6;

/// Members whose texts are the words of others, or may repeat them.
const WORDS: &[&str] = &["last_error", "error", "why", "reason_text", "content", "body", "event", "update", "text"];

/// Subjects of problems that only our own words describe.
const OWN_SUBJECTS: &[&str] = &["disk", "feed", "stopping", "certificate", "backup"];

/// Removes the secrets of a configuration.
#[derive(Default)]
pub(super) struct Scrubber {
    secrets: Vec<Zeroizing<String>>,
}

impl Scrubber {
    /// Returns the scrubber for a gateway with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let admin = &settings.admin;
        let tokens = [&settings.messenger.token, &admin.token].into_iter().flatten();
        let tokens = tokens.chain(admin.tokens.iter().map(|token| &token.secret)).map(SecretValue::expose);
        let mut secrets: Vec<Zeroizing<String>> = tokens.map(|token| Zeroizing::new(token.to_owned())).collect();
        for secret in settings.messenger.push.iter().flat_map(|push| &push.secrets) {
            let text = std::str::from_utf8(secret.expose()).map(str::to_owned);
            secrets.extend(text.into_iter().map(Zeroizing::new));
            secrets.push(Zeroizing::new(base64(secret.expose())));
        }
        secrets.retain(|secret| secret.len() >= SECRET_MIN);
        Self { secrets }
    }

    /// Returns the text without secrets, and without the user's part of each URL.
    pub(super) fn text(&self, text: &str) -> String {
        let text = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN));
        without_user_parts(&text)
    }

    /// Returns an answer of the gateway without secrets and without words of others; what is no JSON is left out.
    pub(super) fn answer(&self, text: &str) -> String {
        let Ok(mut answer) = serde_json::from_str::<Value>(text) else { return LEFT_OUT.to_owned() };
        without_words(&mut answer);
        self.text(&serde_json::to_string_pretty(&answer).unwrap_or_default())
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn without_words(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_words),
        Value::Object(members) => {
            let subject = members.get("what").and_then(Value::as_str);
            let is_own = subject.is_some_and(|subject| OWN_SUBJECTS.contains(&subject));
            for (name, value) in members {
                match value {
                    Value::Null | Value::Bool(_) | Value::Number(_) => {}
                    value if WORDS.contains(&name.as_str()) && !is_own => *value = LEFT_OUT.into(),
                    value => without_words(value),
                }
            }
        }
        _ => {}
    }
}

/// Replaces `user:password` in `scheme://user:password@host`.
fn without_user_parts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/\"'<>?#,".contains(c)).unwrap_or(after.len());
        let (authority, following) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(HIDDEN);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = following;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_user_parts_are_hidden() {
        let scrubber = Scrubber { secrets: vec![Zeroizing::new("sesame-1".to_owned())] };
        assert_eq!(scrubber.text("x sesame-1 y"), "x *** y");
        let url = "url = \"https://me:pass@host:1/p?u=a@b\", http://host/@x and unix:/run/x";
        assert_eq!(scrubber.text(url), "url = \"https://***@host:1/p?u=a@b\", http://host/@x and unix:/run/x");
    }

    #[test]
    fn words_of_others_are_left_out() {
        let answer = r#"{"peers":[{"server":"blue","last_error":"refused: hello","last_code":"X"}],
            "problems":[{"what":"disk","why":"full"},{"what":"blue","why":"it said hello"}],
            "items":[{"body":{"content":"hello"},"update":["hello"],"content":null}]}"#;
        let scrubbed = Scrubber::default().answer(answer);
        assert!(scrubbed.contains("\"full\"") && scrubbed.contains("\"X\""), "{scrubbed}");
        assert!(!scrubbed.contains("hello"), "{scrubbed}");
        assert!(!Scrubber::default().answer("hello").contains("hello"), "it is no JSON");
    }
}
