//! A CA of the tests, and the files of the certificates that it issues.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

use crate::peers::signatures::seconds;

/// A certificate and its key, as files.
pub(crate) struct PairFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// A CA.
pub(crate) struct FileAuthority(CertifiedIssuer<'static, KeyPair>);

/// The kind of a certificate, beside its name.
#[derive(Clone, Copy)]
pub(crate) enum LeafKind {
    Usual,
    Expired,
    NotYetValid,
    Authority,
    ServerOnly,
    CodeSigning,
    /// Valid for ten more days.
    EndsSoon,
    /// It ends so many seconds from now.
    EndsIn(u32),
}

#[expect(clippy::disallowed_methods, reason = "commands judge certificates by the clock of the system")]
fn in_ten_days() -> SystemTime {
    SystemTime::now() + Duration::from_secs(10 * 86_400 + 3_600)
}

impl FileAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // A leaf with the subject of its issuer looks self-signed to openssl.
        params.distinguished_name.push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA"))
    }

    /// Writes the CA's certificate.
    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("ca.pem");
        fs::write(&path, self.0.pem()).expect("written");
        path
    }

    /// Writes a certificate for these names, and its key.
    pub(crate) fn issue(&self, folder: &Path, file: &str, names: &[&str], kind: LeafKind) -> PairFiles {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        (params.not_before, params.not_after) = match kind {
            LeafKind::Expired => (date_time_ymd(2024, 1, 1), date_time_ymd(2025, 1, 1)),
            LeafKind::EndsIn(left) => {
                let end = u64::try_from(seconds()).expect("after 1970") + u64::from(left);
                (date_time_ymd(2024, 1, 1), date_time_ymd(1970, 1, 1) + Duration::from_secs(end))
            }
            LeafKind::NotYetValid => (date_time_ymd(2039, 1, 1), date_time_ymd(2040, 1, 1)),
            LeafKind::EndsSoon => (date_time_ymd(2024, 1, 1), in_ten_days().into()),
            _ => (date_time_ymd(2024, 1, 1), date_time_ymd(2040, 1, 1)),
        };
        match kind {
            LeafKind::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            LeafKind::ServerOnly => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            LeafKind::CodeSigning => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
            _ => {}
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let files = PairFiles { cert: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
        fs::write(&files.cert, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).expect("changed");
        files
    }
}
