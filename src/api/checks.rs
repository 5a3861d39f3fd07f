//! The findings of `fernpost check`.

use serde::{Deserialize, Serialize};

use super::FixedText;

/// The findings of one or more checks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFindings {
    /// False if any finding is an error; warnings do not count.
    pub ok: bool,
    /// The findings, in the order in which they were found.
    pub checks: Vec<CheckFinding>,
}

/// One finding about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckFinding {
    /// The check that found it: `config`, `tls`, `dns`, `keys`, `clock`, `store`, `peers`, `messenger` or
    /// `reachable`.
    pub check: FixedText,
    /// Subject of the check: a key of the configuration, a file, a name.
    pub subject: String,
    /// False for an error.
    pub ok: bool,
    /// `error`, `warning` or `info`.
    pub level: FixedText,
    /// Finding, in one sentence.
    pub detail: String,
    /// Code for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<FixedText>,
    /// Advice on the next step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl CheckFindings {
    /// Returns these findings with their verdict.
    pub fn of(checks: Vec<CheckFinding>) -> Self {
        Self { ok: checks.iter().all(|finding| finding.ok), checks }
    }
}

impl CheckFinding {
    /// Returns a finding that is as it should be.
    pub fn info(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(check, "info", subject.into(), detail.into())
    }

    /// Returns a finding that works and may cause trouble.
    pub fn warning(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(check, "warning", subject.into(), detail.into())
    }

    /// Returns a finding that does not work.
    pub fn error(check: &'static str, subject: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(check, "error", subject.into(), detail.into())
    }

    fn new(check: &'static str, level: &'static str, subject: String, detail: String) -> Self {
        Self { check: check.into(), subject, ok: level != "error", level: level.into(), detail, code: None, fix: None }
    }

    /// Adds the code for programs.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn check_findings_round_trip() {
        let found = assert_round_trip::<CheckFindings>(&[concat!(
            r#"{"ok":false,"checks":[{"check":"keys","subject":"1","ok":true,"level":"info","detail":"active"},"#,
            r#"{"check":"keys","subject":"2","ok":false,"level":"error","detail":"its mode is 0644","code":"OPEN_MODE","#,
            r#""fix":"chmod 600 2.key"}]}"#
        )]);
        let again = CheckFindings::of(vec![
            CheckFinding::info("keys", "1", "active"),
            CheckFinding::error("keys", "2", "its mode is 0644").with_code("OPEN_MODE").with_fix("chmod 600 2.key"),
        ]);
        assert_eq!(found, again);
    }

    #[test]
    fn warnings_are_no_errors() {
        let warned = CheckFindings::of(vec![CheckFinding::warning("clock", "blue.example", "it is 60 s ahead")]);
        assert!(warned.ok && warned.checks[0].ok && warned.checks[0].level == "warning");
        assert!(CheckFindings::of(vec![]).ok);
    }
}
