//! Patterns of server names: `*` stands for any characters, dots included.

use std::fmt;
use std::str::FromStr;

use actors::model::ServerName;

/// A pattern of server names, such as `*.gov.example`. One without a port matches every port, so that a ban cannot be
/// evaded by another port. One that only names a domain does not match the hosts below it, and vice versa.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(String);

/// Error: a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pattern is a server name in which * stands for any characters")]
pub struct BadPattern;

impl NamePattern {
    /// Returns whether the pattern matches this server.
    pub fn matches(&self, server: &ServerName) -> bool {
        let after_brackets = self.0.rfind(']').map_or(0, |bracket| bracket + 1);
        let names_port = self.0[after_brackets..].contains(':');
        is_like(self.0.as_bytes(), if names_port { server.as_str() } else { server.host() }.as_bytes())
    }

    /// Returns the pattern as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Matches greedily with one backtracking point: linear in practice, quadratic at worst, never exponential.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after_star, taken)) = retry {
            retry = Some((after_star, taken + 1));
            (p, t) = (after_star, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

impl FromStr for NamePattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'-' | b'.' | b':' | b'[' | b']');
        if (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadPattern)
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_matches_any_characters() {
        for (pattern, name, means) in [
            ("*.bad.example", "x.bad.example", true),
            ("*.bad.example", "x.y.BAD.example:8448", true),
            ("*.bad.example", "bad.example", false),
            ("*.bad.example", "x.bad.example.org", false),
            ("*bad*", "very-bad-indeed", true),
            ("*", "anything:1", true),
            ("blue.example:1", "blue.example:1", true),
            ("blue.example:1", "blue.example:2", false),
            ("[::1]", "[::1]:9880", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let pattern: NamePattern = pattern.parse().expect("a pattern");
            assert_eq!(pattern.matches(&name.parse().expect("a name")), means, "{pattern} {name}");
        }
        assert_eq!("".parse::<NamePattern>(), Err(BadPattern));
        assert_eq!("b d".parse::<NamePattern>(), Err(BadPattern));
    }
}
