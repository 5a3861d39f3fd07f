//! `tls` of a listener: the files of its certificate.

pub(crate) mod acme;

use std::path::PathBuf;

use serde::Deserialize;

use crate::runtime::open_files::mode_for_others;
use crate::settings::check::SettingsCheck;
use crate::settings::values::listen::{FileModeValue, ListenTarget, WrittenTarget};
use crate::settings::values::secret::open_words;
use crate::settings::values::units::ListenAddress;
use crate::tls::key_pair::KeyPairFiles;

/// `[messenger.tls]` and `[admin.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsSection {
    /// PEM file with the certificate and those between it and a root; without it the listener speaks plain HTTP.
    cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    key: Option<PathBuf>,
}

/// `[federation.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FederationTlsSection {
    /// PEM file with the certificate and those between it and a root; without it the listener speaks plain HTTP.
    cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    key: Option<PathBuf>,
    /// PEM file with the roots that client certificates of listed peers chain to; absent: `network.roots`.
    client_ca: Option<PathBuf>,
}

impl TlsSection {
    /// Checks the files of a listener's certificate.
    pub(crate) fn check(self, section: &str, check: &mut SettingsCheck<'_>) -> Option<KeyPairFiles> {
        key_pair(section, self.cert, self.key, CertificateSource::Operator, check)
    }
}

impl FederationTlsSection {
    /// Checks the files of the federation listener's certificate, and returns them with the file of roots.
    pub(crate) fn check(
        self,
        source: CertificateSource,
        check: &mut SettingsCheck<'_>,
    ) -> (Option<KeyPairFiles>, Option<PathBuf>) {
        let pair = key_pair("federation", self.cert, self.key, source, check);
        (pair, self.client_ca.map(|file| check.path(&file)))
    }
}

/// The origin of a listener's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateSource {
    /// The operator writes the files.
    Operator,
    /// An authority issues it, and a start makes or completes the files.
    Acme,
}

fn key_pair(
    section: &str,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    source: CertificateSource,
    check: &mut SettingsCheck<'_>,
) -> Option<KeyPairFiles> {
    let (cert, key) = match (cert, key) {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (Some(_), None) => {
            check.invalid(&[section, "tls", "key"], "it must be set too: the private key of the certificate");
            return None;
        }
        (None, Some(_)) => {
            check.invalid(&[section, "tls", "cert"], "it must be set too: the certificate of the key");
            return None;
        }
    };
    let files = KeyPairFiles { cert: check.path(&cert), key: check.path(&key) };
    if check.to_run {
        // Files that a start makes or completes are read by it.
        if source == CertificateSource::Operator
            && let Err(why) = files.load()
        {
            check.invalid(&[section, "tls", "cert"], why);
        } else if let Some(mode) = mode_for_others(&files.key) {
            check.open_secret(&[section, "tls", "key"], open_words(&files.key, mode));
        }
    }
    Some(files)
}

/// The protection of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenerProtection {
    pub(crate) has_tls: bool,
    pub(crate) is_insecure: bool,
    /// True if callers need a token; `None`: the listener authenticates them otherwise.
    pub(crate) has_token: Option<bool>,
}

/// Checks that a listener which other machines can reach is protected. An unprotected one that the operator wants is noted at each
/// start.
pub(crate) fn check_exposure(
    section: &str,
    ListenAddress(listen): ListenAddress,
    protection: ListenerProtection,
    check: &mut SettingsCheck<'_>,
) {
    if listen.ip().to_canonical().is_loopback() {
        return;
    }
    let key = [section, "listen"];
    if protection.has_token == Some(false) {
        let why = format!(
            "{listen} can be reached from other machines and no token is set; set {section}.token_file, or listen on 127.0.0.1"
        );
        check.invalid(&key, why);
    }
    match (protection.has_tls, protection.is_insecure) {
        (true, _) => {}
        (false, true) => {
            check.note(&[section, "insecure"], format!("{listen} serves plain HTTP beyond this machine"));
        }
        (false, false) => {
            let why = format!(
                "{listen} can be reached from other machines without TLS; set {section}.tls.cert and {section}.tls.key, listen on \
                 127.0.0.1, or set {section}.insecure = true if a proxy or a private link protects it"
            );
            check.invalid(&key, why);
        }
    }
}

/// Returns the target of a private listener, checked.
pub(crate) fn listen_target(
    section: &str,
    written: WrittenTarget,
    FileModeValue(mode): FileModeValue,
    protection: ListenerProtection,
    check: &mut SettingsCheck<'_>,
) -> ListenTarget {
    match written {
        WrittenTarget::Tcp(address) => {
            check_exposure(section, ListenAddress(address), protection, check);
            ListenTarget::Tcp(address)
        }
        WrittenTarget::Unix(path) => ListenTarget::Unix { path: check.path(&path), mode },
    }
}
