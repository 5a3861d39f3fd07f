//! Explains how far a peer is reached: `fernpost peer explain`, `check dns` and `check peers`. It needs no running gateway.

pub(crate) mod fixes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actors::limits::PeerLimits;
use actors::model::{DialectSpec, FailureCode, PushFailure, RequestDeadlines, ServerName, ShortDuration};
use actors::ports::{Clock, PeerConfig};
use bytes::Bytes;
use tokio::time::Instant;

use crate::api::explain::{ExplainedStep, PeerExplanation};
use crate::app::SystemClock;
use crate::app::configured_peers::ConfiguredAddresses;
use crate::app::strangers::StrangersBook;
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressAnswer, EgressOptions, EgressRequest, PeerProbe, ProbeAnswer, ProbeConnection, StepRecord};
use crate::identity::key_directories::read_directory;
use crate::identity::key_directory::KEY_DIRECTORY_PATH;
use crate::identity::key_folder::KeyFolder;
use crate::identity::key_ring::KeyRing;
use crate::identity::public_key::PeerKeys;
use crate::settings::{LiveSettings, PeerAuth, PeerProfile, PeerSettings, PeerTable, Settings};
use crate::telemetry::limit_counts::LimitCounts;
use crate::tls::live_roots::LiveRoots;
use crate::tls::own_certificate::OwnCertificate;
use crate::tls::trust_roots::TrustRootsError;
use crate::wire::DIALECTS;
use crate::wire::updates::UPDATES_PATH;

/// Difference of the clocks from which an operator is warned.
pub(crate) const SKEW_WARNED: Duration = Duration::from_secs(30);

/// Difference of the clocks from which signatures are refused.
pub(crate) const SKEW_REFUSED: Duration = Duration::from_secs(300);

/// Explains how far peers are reached.
pub(crate) struct PeerExplainer {
    us: ServerName,
    peers: Arc<PeerTable>,
    probe: PeerProbe,
    addresses: Arc<ConfiguredAddresses>,
    /// Id of the key that signs now, or why there is none.
    signing_key: Result<String, String>,
    /// Names of the certificate that we show, or why there is none.
    certificate: Result<String, String>,
}

/// Error: the roots for certificates of peers cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("network.roots: {0}")]
pub(crate) struct ExplainError(#[from] TrustRootsError);

impl PeerExplainer {
    /// Returns an explainer with the rules of this configuration.
    pub(crate) fn new(settings: &Settings) -> Result<Self, ExplainError> {
        let (us, peers) = (settings.server.name.clone(), settings.peers.clone());
        let loaded = KeyFolder::in_data_dir(&settings.server.data_dir).load(true).map(|(ring, _)| Arc::new(ring));
        let signing_key = match &loaded {
            Ok(ring) => active_key(ring).ok_or_else(|| "there is no signing key yet".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let own = settings.federation.tls.clone().map(|files| OwnCertificate::load("federation.tls", files));
        let certificate = match &own {
            Some(Ok(own)) => Ok(own.live.current().certificate.names_text()),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("federation.tls is not set".to_owned()),
        };
        let options = EgressOptions {
            resolver: settings.network.resolver.clone(),
            roots: Some(LiveRoots::load(&settings.network.roots)?),
            own_pair: own.and_then(Result::ok).map(|own| own.live),
            ..EgressOptions::default()
        };
        let strangers = Arc::new(StrangersBook::new(LimitCounts::default()));
        let book = Arc::new(ConfiguredAddresses::new(LiveSettings::new(settings.clone()), strangers));
        let signer = loaded.ok().map(|ring| RequestSigner::new(us.clone(), ring, book.clone(), Arc::new(SystemClock)));
        let probe = PeerProbe::new(&us, book.clone(), Arc::new(SystemClock), options, signer);
        Ok(Self { us, peers, probe, addresses: book, signing_key, certificate })
    }

    /// Looks a peer up, and returns the steps; a host without permitted addresses fails, even if another host is left.
    pub(crate) async fn find(&self, server: &ServerName) -> PeerExplanation {
        let (records, is_found) = self.probe.find(server).await;
        let mut steps: Vec<ExplainedStep> = records.into_iter().map(|record| of_record(server, record)).collect();
        if is_found {
            steps.retain(|step| step.ok);
        }
        PeerExplanation::of(server.as_str(), steps)
    }

    /// Connects to a peer and compares the clocks, in the step `clock`; the steps of a peer that is not reached end before it.
    pub(crate) async fn compare_clocks(&self, server: &ServerName) -> PeerExplanation {
        let (mut steps, connection) = self.connect(server, self.peers.peer(server).as_deref()).await;
        if let Ok(mut connection) = connection {
            // Anybody may read it, and its head has the time of the peer.
            let directory = EgressRequest::get(KEY_DIRECTORY_PATH, EgressAnswer::Needed);
            if let Ok(answer) = connection.ask(&directory).await {
                steps.push(clock_step(server, Some(&answer)));
            }
        }
        PeerExplanation::of(server.as_str(), steps)
    }

    async fn connect(
        &self,
        server: &ServerName,
        peer: Option<&PeerSettings>,
    ) -> (Vec<ExplainedStep>, Result<ProbeConnection<'_>, PushFailure>) {
        let limits = peer.map_or_else(|| self.peers.unlisted(server), |peer| Arc::clone(&peer.limits));
        let (records, connection) = self.probe.connect(server, deadlines(&limits)).await;
        (records.into_iter().map(|record| of_record(server, record)).collect(), connection)
    }

    /// Connects to a peer and asks it something that changes nothing.
    pub(crate) async fn explain(&self, server: &ServerName) -> PeerExplanation {
        let peer = self.peers.peer(server);
        let (mut steps, connection) = self.connect(server, peer.as_deref()).await;
        match connection {
            Ok(connection) => self.ask(server, peer.as_deref(), connection, &mut steps).await,
            // The step that failed says why.
            Err(_) if steps.last().is_some_and(|step| !step.ok) => {}
            Err(PushFailure::TimedOut) => {
                let failure = PushFailure::TimedOut;
                steps.push(self.of_failure("connection", server, peer.as_deref(), Instant::now(), &failure));
            }
            Err(_) => {
                let failure = PushFailure::Broken("the peer does not speak HTTP here".to_owned());
                steps.push(self.of_failure("identity", server, peer.as_deref(), Instant::now(), &failure));
            }
        }
        PeerExplanation::of(server.as_str(), steps)
    }

    /// Adds the steps that need answers of the peer.
    async fn ask(
        &self,
        server: &ServerName,
        peer: Option<&PeerSettings>,
        mut connection: ProbeConnection<'_>,
        steps: &mut Vec<ExplainedStep>,
    ) {
        // Anybody may read it, and its head has the time of the peer.
        let directory = EgressRequest::get(KEY_DIRECTORY_PATH, EgressAnswer::Needed);
        let began = Instant::now();
        let answered = connection.ask(&directory).await.ok();
        for step in [self.key_step(server, peer, began).await, clock_step(server, answered.as_ref())] {
            let is_ok = step.ok;
            steps.push(step);
            if !is_ok {
                return;
            }
        }
        let began = Instant::now();
        steps.push(match peer {
            Some(peer) => match connection.ask(&self.question(peer)).await {
                Ok(answer) => self.identity_step(peer, began, &answer),
                Err(failure) => self.of_failure("identity", server, Some(peer), began, &failure),
            },
            None if self.peers.denied(server) => {
                let fix = fixes::of_denied(server);
                failed("identity", began, "it is in federation.deny", "DENIED", fix)
            }
            None => failed("identity", began, "not listed", "NOT_LISTED", fixes::of_unlisted(server)),
        });
    }

    /// Returns a request that changes nothing and shows whether the peer accepts us.
    fn question(&self, peer: &PeerSettings) -> EgressRequest {
        match peer.link.profile {
            // Such a server has no reads.
            PeerProfile::Actor2016 => {
                let empty = Bytes::from_static(br#"{"weak":[],"strong":[],"seq":0}"#);
                EgressRequest::post(UPDATES_PATH, empty, EgressAnswer::Needed)
            }
            PeerProfile::Fernpost | PeerProfile::Synapse2014 => {
                DIALECTS.of(peer.link.dialect).encode_pull(&self.us, u64::MAX)
            }
        }
    }

    /// Returns the keys of the directory of a server, or why there are none.
    pub(crate) async fn published_keys(&self, server: &ServerName) -> Result<PeerKeys, String> {
        let peer = self.peers.peer(server);
        let limits = peer.as_ref().map_or_else(|| self.peers.unlisted(server), |peer| Arc::clone(&peer.limits));
        let dialect = peer.map_or(DialectSpec::UPDATES, |peer| peer.link.dialect);
        let route = self.addresses.directory_route(server, dialect)?;
        let answer = self.probe.key_directory(server, route, deadlines(&limits)).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        if answer.status != 200 {
            return Err(format!("its key directory is answered with status {}", answer.status));
        }
        let keys =
            read_directory(&answer.body).map_err(|error| format!("its key directory cannot be used: {error}"))?;
        if keys.is_empty() {
            return Err("its key directory has no key of use".to_owned());
        }
        Ok(keys)
    }

    async fn key_step(&self, server: &ServerName, peer: Option<&PeerSettings>, began: Instant) -> ExplainedStep {
        let missing = |why: &str, fix| failed("key", began, why, "KEY_NOT_FOUND", fix);
        match peer.map(|peer| &peer.link.auth) {
            None => done("key", began, "it is not listed, so no key is expected of it"),
            Some(PeerAuth::Network { .. }) => done("key", began, "auth = \"network\" needs no key"),
            Some(PeerAuth::Signature { keys }) => match &self.signing_key {
                Ok(id) if !keys.is_empty() => {
                    done("key", began, format!("we sign with key {id}; pinned for {server}: {}", listed_ids(keys)))
                }
                Ok(id) => match self.published_keys(server).await {
                    Ok(keys) => {
                        let published = listed_ids(&keys);
                        done("key", began, format!("we sign with key {id}; {server} publishes: {published}"))
                    }
                    Err(why) => missing(&why, fixes::of_directory(server)),
                },
                Err(why) => missing(&format!("we cannot sign: {why}"), fixes::of_signing_key()),
            },
            Some(PeerAuth::Certificate { .. }) => match &self.certificate {
                Ok(names) => done("key", began, format!("we show our certificate of {names}")),
                Err(why) => missing(&format!("we have no certificate to show: {why}"), fixes::of_certificate()),
            },
        }
    }

    fn identity_step(&self, peer: &PeerSettings, began: Instant, answer: &ProbeAnswer) -> ExplainedStep {
        let status = answer.status;
        let reason = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
        match status {
            300..=399 => {
                let place = answer.location.as_deref().unwrap_or("no place");
                let detail = format!("status {status}: it redirects to {place}");
                failed("identity", began, detail, FailureCode::Redirected, fixes::of_redirect(&peer.name))
            }
            401 | 403 => {
                let fix = fixes::of_refusal(&self.us, peer);
                failed("identity", began, format!("status {status}: {reason}"), FailureCode::Http(status), fix)
            }
            500..=599 => {
                let fix = fixes::of_trouble(&peer.name);
                failed("identity", began, format!("status {status}: {reason}"), FailureCode::Http(status), fix)
            }
            200..=299 if is_json_object(&answer.body) => {
                done("identity", began, format!("it accepts us as {}", self.us))
            }
            // It authenticates its callers before it counts their requests.
            429 => {
                let detail = format!("it accepts us as {}, and asks us to wait (status 429)", self.us);
                ExplainedStep { level: Some("warning".into()), ..done("identity", began, detail) }
            }
            _ => {
                let fix = fixes::of_foreign_answer(&peer.name);
                failed("identity", began, format!("status {status}: {reason}"), FailureCode::Http(status), fix)
            }
        }
    }

    fn of_failure(
        &self,
        step: &'static str,
        server: &ServerName,
        peer: Option<&PeerSettings>,
        began: Instant,
        failure: &PushFailure,
    ) -> ExplainedStep {
        let fix = fixes::of_failure(server, peer.map(|peer| &*peer.limits));
        let mut failed = failed(step, began, failure.to_string(), "", fix);
        failed.code = Some(failure.code().map_or_else(|| "NO_ANSWER".to_owned(), |code| code.to_string()));
        failed
    }
}

fn is_json_object(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok()
}

/// Returns the ids of keys, as they are shown.
pub(crate) fn listed_ids(keys: &PeerKeys) -> String {
    keys.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ")
}

fn active_key(ring: &KeyRing) -> Option<String> {
    ring.active(SystemClock::time()).map(|key| key.id().to_string())
}

fn deadlines(limits: &PeerLimits) -> RequestDeadlines {
    RequestDeadlines { connect: limits.connect_timeout, total: limits.request_timeout }
}

/// Returns the step that compares the clocks.
fn clock_step(server: &ServerName, answer: Option<&ProbeAnswer>) -> ExplainedStep {
    let began = Instant::now();
    let Some(theirs) = answer.and_then(|answer| answer.date) else {
        return done("clock", began, "the peer states no time");
    };
    // The peer states whole seconds.
    let (theirs, ours) = (Duration::from_millis(theirs.0), Duration::from_secs(SystemClock.now().0 / 1000));
    let (skew, side) = match theirs.checked_sub(ours) {
        Some(ahead) => (ahead, "ahead of"),
        None => (ours.saturating_sub(theirs), "behind"),
    };
    let detail = match skew.is_zero() {
        true => "its clock agrees with ours".to_owned(),
        false => format!("its clock is {} {side} ours", ShortDuration(skew)),
    };
    if skew >= SKEW_REFUSED {
        return failed("clock", began, detail, "CLOCK_SKEW", fixes::of_skew(server));
    }
    let level = (skew >= SKEW_WARNED).then(|| "warning".into());
    ExplainedStep { level, ..done("clock", began, detail) }
}

fn of_record(server: &ServerName, record: StepRecord) -> ExplainedStep {
    let StepRecord { step, took, detail, failure } = record;
    ExplainedStep {
        step: step.as_str().into(),
        ok: failure.is_none(),
        ms: millis(took),
        detail,
        level: None,
        code: failure.map(|code| code.as_str().to_owned()),
        fix: failure.map(|code| fixes::of_code(code, server)),
    }
}

fn done(step: &'static str, began: Instant, detail: impl Into<String>) -> ExplainedStep {
    let (detail, ms) = (detail.into(), millis(began.elapsed()));
    ExplainedStep { step: step.into(), ok: true, ms, detail, level: None, code: None, fix: None }
}

fn failed(
    step: &'static str,
    began: Instant,
    detail: impl Into<String>,
    code: impl fmt::Display,
    fix: String,
) -> ExplainedStep {
    let code = Some(format!("{code}"));
    ExplainedStep { ok: false, code, fix: Some(fix), ..done(step, began, detail) }
}

/// Returns milliseconds with one decimal.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
