//! `[messenger]`: the listener of the local messenger.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::settings::check::SettingsCheck;
use crate::settings::sections::push::{PushSection, PushSettings};
use crate::settings::sections::tls::{ListenerProtection, TlsSection, listen_target};
use crate::settings::values::listen::{FileModeValue, ListenTarget, WrittenTarget};
use crate::settings::values::secret;
use crate::settings::values::secret::SecretValue;
use crate::settings::values::units::{DurationValue, SizeSetting};
use crate::tls::key_pair::KeyPairFiles;

/// The listener of the local messenger.
#[derive(Debug, Clone, PartialEq)]
pub struct MessengerSettings {
    /// Address of the listener.
    pub listen: ListenTarget,
    /// Files of the listener's certificate; `None`: plain HTTP.
    pub tls: Option<KeyPairFiles>,
    /// Bearer token; `None`: the listener needs no token.
    pub token: Option<SecretValue>,
    /// Time for which a submission is remembered: it recognizes repeats, and its trace can be read.
    pub submissions_keep: Duration,
    /// Maximum number of submissions in progress.
    pub submissions_max: usize,
    /// Maximum number of feed reads that wait for an event, and of streams.
    pub reads_max: usize,
    /// Time of silence after which a stream gets a comment.
    pub keep_alive: Duration,
    /// Maximum bytes of a request body.
    pub body_max: usize,
    /// Rules of push mode; `None`: the messenger reads the events.
    pub push: Option<PushSettings>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MessengerSection {
    /// Address and port that the messenger connects to.
    pub(crate) listen: WrittenTarget,
    /// Mode of a socket file.
    listen_mode: FileModeValue,
    /// Certificate of the listener.
    tls: TlsSection,
    /// If true, plain HTTP is served beyond loopback; a token is still needed.
    insecure: bool,
    /// Bearer token; it is better kept in a file.
    token: Option<SecretValue>,
    /// File with the bearer token; without a token every process that can connect is accepted.
    token_file: Option<PathBuf>,
    /// Time for which a submission is remembered, for repeats and for its trace.
    submissions_keep: DurationValue,
    /// Maximum number of submissions in progress; further ones are told to wait.
    submissions_max: u32,
    /// Maximum number of feed reads that wait for an event; further ones are told to retry.
    reads_max: u32,
    /// Time of silence after which a stream gets a comment.
    keep_alive: DurationValue,
    /// Maximum size of a request body of the messenger.
    body_max: SizeSetting,
    /// Push mode.
    push: PushSection,
}

impl Default for MessengerSection {
    fn default() -> Self {
        Self {
            listen: WrittenTarget::loopback(9881),
            listen_mode: FileModeValue(0o660),
            tls: TlsSection::default(),
            insecure: false,
            token: None,
            token_file: None,
            submissions_keep: DurationValue::days(7),
            submissions_max: 1024,
            reads_max: 64,
            keep_alive: DurationValue::secs(15),
            body_max: SizeSetting::mib(8),
            push: PushSection::default(),
        }
    }
}

impl MessengerSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> MessengerSettings {
        let numbers = [
            ("submissions_max", self.submissions_max.into()),
            ("reads_max", self.reads_max.into()),
            ("body_max", self.body_max.0),
        ];
        check.at_least_one(&["messenger"], &numbers);
        if self.submissions_keep.0.is_zero() {
            check.invalid(
                &["messenger", "submissions_keep"],
                "it must be more than 0s, because repeats are recognized within this time",
            );
        }
        if self.keep_alive.0.is_zero() {
            check.invalid(
                &["messenger", "keep_alive"],
                "it must be more than 0s, because a comment follows each silence of this time",
            );
        }
        let token = secret::token(check, "messenger", self.token, self.token_file);
        let tls = self.tls.check("messenger", check);
        let protection =
            ListenerProtection { has_tls: tls.is_some(), is_insecure: self.insecure, has_token: Some(token.is_some()) };
        MessengerSettings {
            listen: listen_target("messenger", self.listen, self.listen_mode, protection, check),
            tls,
            token,
            submissions_keep: self.submissions_keep.0,
            submissions_max: self.submissions_max as usize,
            reads_max: self.reads_max as usize,
            keep_alive: self.keep_alive.0,
            body_max: self.body_max.in_memory(),
            push: self.push.check(check),
        }
    }
}
