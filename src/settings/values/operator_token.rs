//! The tokens of operators with their names and roles, as they are written and as they are checked.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::http::bearer::operator_role::OperatorRole;
use crate::settings::check::SettingsCheck;
use crate::settings::values::secret;
use crate::settings::values::secret::SecretValue;

/// Maximum tokens, because each call compares its token with all of them.
const TOKENS_MAX: usize = 64;

/// Tokens of one name that are valid at a time: the old one and the new one of a rotation.
const SAME_NAME_MAX: usize = 2;

/// Maximum characters of a name.
const NAME_MAX: usize = 64;

/// Key of the list.
const KEY: [&str; 2] = ["admin", "tokens"];

/// A token of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    /// Name, for the log.
    pub name: String,
    /// Calls that it may make.
    pub role: OperatorRole,
    /// The token.
    pub secret: SecretValue,
}

/// A token as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WrittenOperatorToken(TokenEntry);

#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenEntry {
    name: String,
    role: OperatorRole,
    token: Option<SecretValue>,
    token_file: Option<PathBuf>,
}

/// The list as it is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct WrittenOperatorTokens(Vec<WrittenOperatorToken>);

impl<'de> Deserialize<'de> for WrittenOperatorToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TokenEntryVisitor)
    }
}

impl<'de> Deserialize<'de> for WrittenOperatorTokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TokenListVisitor)
    }
}

/// Words for a text where a table belongs. serde's own would show the text, which may be a token.
const ENTRY: &str = "a table such as { name = \"desk\", role = \"operate\", token_file = \"desk.token\" }";

struct TokenEntryVisitor;

impl<'de> Visitor<'de> for TokenEntryVisitor {
    type Value = WrittenOperatorToken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ENTRY)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(format!("each token is {ENTRY}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        TokenEntry::deserialize(MapAccessDeserializer::new(entries)).map(WrittenOperatorToken)
    }
}

struct TokenListVisitor;

impl<'de> Visitor<'de> for TokenListVisitor {
    type Value = WrittenOperatorTokens;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tokens")
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(format!("it is a list; each token is {ENTRY}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(WrittenOperatorTokens(list))
    }
}

impl WrittenOperatorTokens {
    /// Checks the list; each problem names its entry.
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> Vec<OperatorToken> {
        if self.0.len() > TOKENS_MAX {
            check.invalid(&KEY, format!("these are {} tokens; at most {TOKENS_MAX} are allowed", self.0.len()));
            return Vec::new();
        }
        let mut tokens: Vec<OperatorToken> = Vec::new();
        for WrittenOperatorToken(entry) in self.0 {
            let name = entry.name.clone();
            match entry.checked(check, &tokens) {
                Ok(token) => tokens.push(token),
                Err(why) => check.invalid(&KEY, format!("token {name:?}: {why}")),
            }
        }
        tokens
    }
}

impl TokenEntry {
    fn checked(self, check: &mut SettingsCheck<'_>, earlier: &[OperatorToken]) -> Result<OperatorToken, String> {
        let Self { name, role, token, token_file } = self;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
            return Err(format!("a name has 1 to {NAME_MAX} of the characters A-Za-z0-9._@-"));
        }
        if token.is_some() && token_file.is_some() {
            return Err("token and token_file are both set; keep one of them".to_owned());
        }
        let secret = secret::given_token(check, &KEY, token, token_file)?;
        let secret = secret.ok_or("it has neither token_file nor token")?;
        let same_name: Vec<&OperatorToken> = earlier.iter().filter(|other| other.name == name).collect();
        if same_name.len() >= SAME_NAME_MAX {
            return Err(
                "two tokens have this name already, the old and the new one of a rotation; remove one".to_owned()
            );
        }
        if let Some(other) = same_name.iter().find(|other| other.role != role) {
            return Err(format!("another token of this name has the role {}; give both the same one", other.role));
        }
        if let Some(other) = earlier.iter().find(|other| other.secret == secret) {
            return Err(format!("it is the same token as that of {:?}; each entry needs its own", other.name));
        }
        Ok(OperatorToken { name, role, secret })
    }
}
