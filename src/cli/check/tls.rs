//! `fernpost check tls`: our certificates, and the roots that those of others chain to.

use std::path::Path;

use actors::model::Millis;
use actors::ports::Clock;

use crate::api::checks::CheckFinding;
use crate::app::SystemClock;
use crate::runtime::open_files::mode_for_others;
use crate::settings::{ListenTarget, Settings};
use crate::tls::certificate::PresentedCertificate;
use crate::tls::certificate_fault::CertificateFault;
use crate::tls::certificate_judge::{CertificateRole, CertificateTrust, judge, judge_name};
use crate::tls::key_pair::{KeyPairError, KeyPairFiles};
use crate::tls::own_certificate::OwnCertificate;
use crate::tls::trust_roots::TrustRoots;

const CHECK: &str = "tls";

/// A listener, as its certificate is examined.
struct ExaminedListener<'a> {
    /// Configuration key of the certificate.
    subject: &'static str,
    files: &'a Option<KeyPairFiles>,
    /// Hosts of which the certificate must name one, and whether callers insist on it.
    hosts: Vec<String>,
    is_for_peers: bool,
}

/// Returns the findings about all certificates and roots.
pub(super) fn findings(settings: &Settings) -> Vec<CheckFinding> {
    let (roots, mut found) = peer_roots(settings);
    if let Some(file) = &settings.federation.client_ca {
        found.push(roots_of("federation.tls.client_ca", file));
    }
    let own = settings.server.name.host().to_owned();
    let hosts = |listen: &ListenTarget| match listen {
        ListenTarget::Tcp(address) => vec![own.clone(), address.ip().to_string()],
        ListenTarget::Unix { .. } => vec![own.clone(), "localhost".to_owned()],
    };
    let (messenger, admin) = (hosts(&settings.messenger.listen), hosts(&settings.admin.listen));
    let listeners = [
        ("federation.tls", &settings.federation.tls, vec![own.clone()], true),
        ("messenger.tls", &settings.messenger.tls, messenger, false),
        ("admin.tls", &settings.admin.tls, admin, false),
    ];
    let now = SystemClock.now();
    for (subject, files, hosts, is_for_peers) in listeners {
        let listener = ExaminedListener { subject, files, hosts, is_for_peers };
        found.extend(listener.findings(&roots, settings.server.allow_open_secrets, now));
    }
    found
}

/// Returns the roots that certificates of servers chain to, and what is wrong with them.
fn peer_roots(settings: &Settings) -> (TrustRoots, Vec<CheckFinding>) {
    const SUBJECT: &str = "network.roots";
    if settings.network.roots.is_empty() {
        let roots = TrustRoots::of_system();
        let finding = match roots.anchors().len() {
            0 => CheckFinding::warning(CHECK, SUBJECT, "the system has no roots, so only pinned servers are believed")
                .with_fix("install the package ca-certificates, or set network.roots"),
            count => CheckFinding::info(CHECK, SUBJECT, format!("{count} roots of the system")),
        };
        return (roots, vec![finding]);
    }
    let found = settings.network.roots.iter().map(|file| roots_of(SUBJECT, file)).collect();
    (TrustRoots::from_files(&settings.network.roots).unwrap_or_else(|_| TrustRoots::none()), found)
}

fn roots_of(subject: &str, file: &Path) -> CheckFinding {
    match TrustRoots::from_files(&[file]) {
        Ok(roots) => {
            CheckFinding::info(CHECK, subject, format!("{} roots in {}", roots.anchors().len(), file.display()))
        }
        Err(error) => CheckFinding::error(CHECK, subject, error.to_string())
            .with_code("BAD_ROOTS")
            .with_fix(format!("write the certificates of the CAs into {} as PEM", file.display())),
    }
}

impl ExaminedListener<'_> {
    fn findings(&self, roots: &TrustRoots, allow_open_secrets: bool, now: Millis) -> Vec<CheckFinding> {
        let subject = self.subject;
        let Some(files) = self.files else {
            return vec![CheckFinding::info(CHECK, subject, "it is not set, so the listener serves plain HTTP")];
        };
        let mut found = vec![];
        if let Some(mode) = mode_for_others(&files.key) {
            found.push(open_key(subject, &files.key, mode, allow_open_secrets));
        }
        match OwnCertificate::load(subject, files.clone()) {
            Ok(own) => found.extend(self.of_certificate(&own, roots, now)),
            Err(error) => found.push(of_pair(subject, files, &error)),
        }
        found
    }

    /// Returns what is wrong with a certificate, or one finding that says when it ends.
    fn of_certificate(&self, own: &OwnCertificate, roots: &TrustRoots, now: Millis) -> Vec<CheckFinding> {
        let (subject, pair) = (self.subject, own.live.current());
        let certificate = &pair.certificate;
        let mut found = vec![];
        if let Err(fault) = judge(certificate, CertificateRole::Server, CertificateTrust::Roots(roots), now) {
            found.push(self.of_fault(&fault));
        }
        if let Some(fault) = self.name_fault(certificate) {
            found.push(self.of_fault(&fault));
        }
        if let Some(end) = own.end_soon(now).filter(|end| end.days >= 0) {
            let words = format!("the certificate ends in {} days", end.days);
            let finding = CheckFinding::warning(CHECK, subject, words).with_code("CERTIFICATE_ENDS_SOON");
            found.push(finding.with_fix(self.renewal(own)));
        }
        if found.is_empty() {
            let words =
                format!("the certificate of {} is valid for {} days", certificate.names_text(), own.end(now).days);
            found.push(CheckFinding::info(CHECK, subject, words));
        }
        found
    }

    fn renewal(&self, own: &OwnCertificate) -> String {
        format!(
            "replace {} and {}; a running gateway takes them over",
            own.files.cert.display(),
            own.files.key.display()
        )
    }

    fn name_fault(&self, certificate: &PresentedCertificate) -> Option<CertificateFault> {
        let mut faults = self.hosts.iter().map(|host| judge_name(certificate, host).err());
        let first = faults.next()??;
        faults.all(|fault| fault.is_some()).then_some(first)
    }

    /// Returns the finding of a fault. Peers refuse a certificate for each of them, except that a peer may know our CA or pin our
    /// key; what the messenger and operators accept is theirs to say.
    fn of_fault(&self, fault: &CertificateFault) -> CheckFinding {
        let host = self.hosts.first().map_or("", String::as_str);
        let (is_error, fix) = match fault {
            CertificateFault::UnknownIssuer(_) => {
                (false, "let the callers trust its CA or pin its key, or get one of a public CA".to_owned())
            }
            CertificateFault::WrongName { .. } => (self.is_for_peers, format!("get a certificate that names {host}")),
            CertificateFault::Expired(_) => (true, "get a new certificate".to_owned()),
            CertificateFault::NotYetValid(_) => (true, "check the clock of this machine".to_owned()),
            CertificateFault::IsCa => (true, "let the CA issue a certificate for this server".to_owned()),
            CertificateFault::WrongPurpose => {
                (true, "get a certificate with serverAuth, or without an extended key usage".to_owned())
            }
            CertificateFault::Unreadable(_) | CertificateFault::NotPinned(_) => (true, "replace it".to_owned()),
        };
        let finding = match is_error {
            true => CheckFinding::error(CHECK, self.subject, fault.to_string()),
            false => CheckFinding::warning(CHECK, self.subject, fault.to_string()),
        };
        finding.with_code(fault.code()).with_fix(fix)
    }
}

fn open_key(subject: &str, key: &Path, mode: u32, is_allowed: bool) -> CheckFinding {
    let words = format!("{} has the mode {mode:04o}, so every user of this machine can use the key", key.display());
    let finding = match is_allowed {
        true => CheckFinding::warning(CHECK, subject, words),
        false => CheckFinding::error(CHECK, subject, words),
    };
    finding.with_code("OPEN_MODE").with_fix(format!("chmod o= {}", key.display()))
}

fn of_pair(subject: &str, files: &KeyPairFiles, error: &KeyPairError) -> CheckFinding {
    let (cert, key) = (files.cert.display(), files.key.display());
    let (code, fix) = match error {
        KeyPairError::File { path, .. } => {
            ("UNREADABLE", format!("make {} readable for this user, as PEM", path.display()))
        }
        KeyPairError::NoCertificate(path) => {
            ("UNREADABLE", format!("write the certificate into {} as PEM", path.display()))
        }
        KeyPairError::Certificate { fault, .. } => (fault.code(), format!("replace {cert}")),
        KeyPairError::Mismatch { .. } => {
            ("KEY_MISMATCH", format!("write the key of the certificate {cert} into {key}"))
        }
    };
    CheckFinding::error(CHECK, subject, error.to_string()).with_code(code).with_fix(fix)
}
