//! `[federation.acme]`: a certificate for the federation listener from an authority that speaks ACME.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use crate::settings::check::SettingsCheck;
use crate::settings::values::units::{DurationValue, ListenAddress};
use crate::tls::acme::options::{AcmeOptions, ChallengeAnswer, DnsHook};
use crate::tls::trust_roots::TrustRoots;

/// The proof by which the authority learns that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum ChallengeName {
    #[default]
    #[serde(rename = "off")]
    Off,
    #[serde(rename = "http-01")]
    Http,
    #[serde(rename = "dns-01")]
    Dns,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AcmeSection {
    /// Proof that the names are ours: "http-01" or "dns-01"; "off": the certificate is the operator's.
    challenge: ChallengeName,
    /// URL of the authority's directory.
    directory: String,
    /// True if the operator agrees to the authority's terms of service.
    agree_terms: bool,
    /// Addresses that the authority may write to, such as "mailto:ops@red.example".
    contact: Vec<String>,
    /// Names of the certificate; none: that of the server.
    names: Vec<String>,
    /// Address and port for the proofs of "http-01".
    http_listen: ListenAddress,
    /// Program that publishes and removes the records of "dns-01".
    dns_hook: Option<PathBuf>,
    /// Maximum time of one run of the program.
    hook_timeout: DurationValue,
    /// Remaining validity from which the certificate is renewed; at most a third of its whole validity.
    renew_before: DurationValue,
    /// Pause after the first failed order; it doubles with each further one.
    retry_min: DurationValue,
    /// Maximum pause after a failed order.
    retry_max: DurationValue,
    /// Maximum time of one order.
    timeout: DurationValue,
    /// PEM files of the roots that the authority's own certificate chains to; none: the roots of the system.
    roots: Vec<PathBuf>,
}

impl Default for AcmeSection {
    fn default() -> Self {
        Self {
            challenge: ChallengeName::Off,
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            agree_terms: false,
            contact: vec![],
            names: vec![],
            http_listen: ListenAddress(([0, 0, 0, 0], 80).into()),
            dns_hook: None,
            hook_timeout: DurationValue::secs(120),
            renew_before: DurationValue::days(30),
            retry_min: DurationValue::secs(300),
            retry_max: DurationValue::secs(6 * 3600),
            timeout: DurationValue::secs(600),
            roots: vec![],
        }
    }
}

impl AcmeSection {
    /// Returns whether certificates are ordered, before anything is checked.
    pub(crate) fn is_on(&self) -> bool {
        self.challenge != ChallengeName::Off
    }

    /// Checks the section. `has_tls` is true if `federation.tls` names files.
    pub(crate) fn check(self, has_tls: bool, check: &mut SettingsCheck<'_>) -> Option<AcmeOptions> {
        let key = |name| ["federation", "acme", name];
        if !self.is_on() {
            return None;
        }
        if !has_tls {
            check.invalid(&key("challenge"), "federation.tls.cert and federation.tls.key must name the files to write");
        }
        if !self.agree_terms {
            let why = format!("it must be true: the authority at {} asks for agreement to its terms", self.directory);
            check.invalid(&key("agree_terms"), why);
        }
        let directory = match Url::parse(&self.directory) {
            Ok(url) if url.scheme() == "https" => Some(url),
            _ => {
                let why = format!("\"{}\" is not the https:// address of an ACME directory", self.directory);
                check.invalid(&key("directory"), why);
                None
            }
        };
        for (name, time) in [
            ("hook_timeout", self.hook_timeout),
            ("renew_before", self.renew_before),
            ("retry_min", self.retry_min),
            ("timeout", self.timeout),
        ] {
            if time.0.is_zero() {
                check.invalid(&key(name), "it must be more than 0s");
            }
        }
        if self.retry_max.0 < self.retry_min.0 {
            check.invalid(&key("retry_max"), "it must not be below federation.acme.retry_min");
        }
        let roots: Vec<PathBuf> = self.roots.iter().map(|file| check.path(file)).collect();
        if check.to_run
            && !roots.is_empty()
            && let Err(why) = TrustRoots::from_files(&roots)
        {
            check.invalid(&key("roots"), why);
        }
        let answer = match (self.challenge, self.dns_hook) {
            (ChallengeName::Dns, None) => {
                let why = "it must be set for \"dns-01\": the program that publishes a TXT record";
                check.invalid(&key("dns_hook"), why);
                return None;
            }
            (ChallengeName::Dns, Some(program)) => {
                ChallengeAnswer::Dns(DnsHook { program: check.path(&program), timeout: self.hook_timeout.0 })
            }
            _ => ChallengeAnswer::Http { listen: self.http_listen.0 },
        };
        Some(AcmeOptions {
            directory: directory?,
            roots,
            contact: self.contact,
            names: self.names,
            answer,
            renew_before: self.renew_before.0,
            retry_min: self.retry_min.0,
            retry_max: self.retry_max.0,
            timeout: self.timeout.0,
        })
    }
}
