//! `[messenger.push]`: where and how events are pushed to the messenger.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::values::push_target::{PushRoute, PushTarget};
use crate::settings::values::secret;
use crate::settings::values::secret::SecretValue;
use crate::settings::values::units::{DurationValue, SizeSetting};
use crate::settings::values::webhook_secret::WebhookSecret;
use crate::tls::trust_roots::TrustRoots;

/// The rules of push mode.
#[derive(Debug, Clone, PartialEq)]
pub struct PushSettings {
    /// The messenger's end.
    pub target: PushTarget,
    /// Keys of the signatures, the new one first; none: pushes are not signed.
    pub secrets: Vec<WebhookSecret>,
    /// File of the roots that the messenger's certificate must chain to; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Maximum time of a request, from the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Maximum time to connect.
    pub connect_timeout: Duration,
    /// Maximum events of a batch.
    pub batch_items: usize,
    /// Maximum bytes of a batch; a larger event goes alone.
    pub batch_bytes: u64,
    /// Delay after the first failure.
    pub backoff_min: Duration,
    /// Maximum delay between attempts.
    pub backoff_max: Duration,
    /// Attempts after which status 500 counts as a refusal of the content.
    pub poison_after: u32,
    /// Maximum refused events that are kept.
    pub quarantine_items: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PushSection {
    /// URL before the paths of the calls; without it nothing is pushed.
    url: Option<String>,
    /// One secret, or two, one a line; they are better kept in a file.
    secret: Option<SecretValue>,
    /// File with the secrets.
    secret_file: Option<PathBuf>,
    /// If true, plain HTTP is used beyond loopback.
    insecure: bool,
    /// PEM file with the roots that the messenger's certificate must chain to.
    ca: Option<PathBuf>,
    /// Maximum time of a request.
    timeout: DurationValue,
    /// Maximum time to connect.
    connect_timeout: DurationValue,
    /// Maximum events of a batch.
    batch_items: u32,
    /// Maximum size of a batch.
    batch_bytes: SizeSetting,
    /// Delay after the first failure.
    backoff_min: DurationValue,
    /// Maximum delay between attempts.
    backoff_max: DurationValue,
    /// Attempts after which status 500 counts as a refusal of the content.
    poison_after: u32,
    /// Maximum refused events that are kept.
    quarantine_items: u32,
}

impl Default for PushSection {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            secret_file: None,
            insecure: false,
            ca: None,
            timeout: DurationValue::secs(30),
            connect_timeout: DurationValue::secs(5),
            batch_items: 1_000,
            batch_bytes: SizeSetting::mib(4),
            backoff_min: DurationValue(Duration::from_millis(250)),
            backoff_max: DurationValue::secs(30),
            poison_after: 5,
            quarantine_items: 10_000,
        }
    }
}

impl PushSection {
    /// Checks the section; `None`: push mode is off.
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> Option<PushSettings> {
        let numbers = [
            ("batch_items", self.batch_items.into()),
            ("batch_bytes", self.batch_bytes.0),
            ("poison_after", self.poison_after.into()),
            ("quarantine_items", self.quarantine_items.into()),
        ];
        check.at_least_one(SECTION, &numbers);
        let times = [
            ("timeout", self.timeout),
            ("connect_timeout", self.connect_timeout),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
        ];
        for (name, _) in times.iter().filter(|(_, time)| time.0.is_zero()) {
            check.invalid(&key(name), "it must be more than 0s");
        }
        if self.backoff_max.0 < self.backoff_min.0 {
            check.invalid(&key("backoff_max"), "it must be at least messenger.push.backoff_min");
        }
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        let secrets = secrets(self.secret, self.secret_file, check);
        let ca = self.ca.map(|file| check.path(&file));
        let Some(url) = self.url else {
            for (name, is_set) in [("secret_file", has_secret), ("ca", ca.is_some())] {
                if is_set {
                    check.note(&key(name), "it has no effect without messenger.push.url");
                }
            }
            return None;
        };
        let mut target = PushTarget::read(&url).map_err(|why| check.invalid(&key("url"), why)).ok()?;
        if let PushRoute::Unix(path) = &mut target.route {
            *path = check.path(path);
        }
        check_protection(&target, self.insecure, has_secret, check);
        if let Some(file) = ca.as_ref().filter(|_| check.to_run)
            && let Err(why) = TrustRoots::from_files(&[file])
        {
            check.invalid(&key("ca"), why);
        }
        if ca.is_some() && !target.is_tls() {
            check.note(&key("ca"), "it has no effect, because messenger.push.url is not https:");
        }
        Some(PushSettings {
            target,
            secrets,
            ca,
            timeout: self.timeout.0,
            connect_timeout: self.connect_timeout.0,
            batch_items: self.batch_items as usize,
            batch_bytes: self.batch_bytes.0,
            backoff_min: self.backoff_min.0,
            backoff_max: self.backoff_max.0,
            poison_after: self.poison_after,
            quarantine_items: self.quarantine_items.into(),
        })
    }
}

const SECTION: &[&str] = &["messenger", "push"];

fn key(name: &str) -> [&str; 3] {
    ["messenger", "push", name]
}

/// Checks that events do not cross a network in plain text by mistake, and notes that pushes are not signed.
fn check_protection(target: &PushTarget, is_insecure: bool, has_secret: bool, check: &mut SettingsCheck<'_>) {
    if !target.is_tls() && !target.is_local() {
        match is_insecure {
            true => check.note(&key("insecure"), format!("{target} is reached by plain HTTP beyond this machine")),
            false => check.invalid(
                &key("url"),
                format!(
                    "{target} leads beyond this machine by plain HTTP; use https, or set messenger.push.insecure = true if a \
                     private link protects it"
                ),
            ),
        }
    }
    if !has_secret {
        check.note(
            &key("url"),
            "pushes are not signed, so the messenger cannot tell them from those of another process; set \
             messenger.push.secret_file",
        );
    }
}

fn secrets(secret: Option<SecretValue>, file: Option<PathBuf>, check: &mut SettingsCheck<'_>) -> Vec<WebhookSecret> {
    let (text, name) = match (secret, file) {
        (None, None) => return Vec::new(),
        (Some(_), Some(_)) => {
            check.invalid(&key("secret_file"), "`messenger.push.secret` is set too; keep one of them");
            return Vec::new();
        }
        (Some(secret), None) => (Ok(secret), "secret"),
        (None, Some(file)) => (secret::file_text(check, &key("secret_file"), &file), "secret_file"),
    };
    let read = text.and_then(|text| WebhookSecret::read_all(&text));
    read.unwrap_or_else(|why| {
        check.invalid(&key(name), why);
        Vec::new()
    })
}
