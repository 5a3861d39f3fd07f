//! Orders of the federation listener's certificate: the first one of a new folder, the listener for proofs, and the actor.

use std::sync::Arc;

use actix::{Actor, Addr};
use actix_web::dev::ServerHandle;
use actors::model::ServerName;

use crate::app::{StartError, SystemClock};
use crate::http::listener::bound_listener::BoundListener;
use crate::http::serve::{ListenerLimits, serve};
use crate::settings::Settings;
use crate::tls::acme::first_certificate;
use crate::tls::acme::http_answers::HttpAnswers;
use crate::tls::acme::issued_pair;
use crate::tls::acme::options::{AcmeOptions, ChallengeAnswer};
use crate::tls::acme::renewal_actor::RenewalActor;

/// Maximum number of connections to the listener of proofs; an authority opens a few.
const CONNECTIONS_MAX: usize = 64;

/// The running renewal. It ends when this is dropped.
pub(super) struct CertificateRenewal {
    _actor: Addr<RenewalActor>,
    /// Listener of the proofs of "http-01".
    proofs: Option<ServerHandle>,
}

/// Prepares the files of the certificate, if certificates are ordered: completes those of an issued one, and makes a certificate to begin with
/// if there is none.
pub(super) fn prepare_files(settings: &Settings) -> Result<(), StartError> {
    let (Some(acme), Some(files)) = (&settings.federation.acme, &settings.federation.tls) else { return Ok(()) };
    if issued_pair::complete(&settings.server.data_dir, files)? {
        tracing::warn!(cert = %files.cert.display(), "key and certificate did not fit; the issued pair was written again");
    }
    if first_certificate::make_if_missing(files, &names(acme, &settings.server.name))? {
        let cert = files.cert.display();
        tracing::warn!(%cert, "a self-signed certificate was made, which peers refuse; it is replaced when the authority has issued one");
    }
    Ok(())
}

/// Starts the orders, if certificates are ordered.
pub(super) fn start(settings: &Settings) -> Result<Option<CertificateRenewal>, StartError> {
    let (Some(acme), Some(files)) = (&settings.federation.acme, &settings.federation.tls) else { return Ok(None) };
    let answers = HttpAnswers::default();
    let proofs = match &acme.answer {
        ChallengeAnswer::Dns(_) => None,
        ChallengeAnswer::Http { listen } => {
            let (key, address) = ("federation.acme.http_listen", listen.to_string());
            let bound = BoundListener::tcp(*listen);
            let bound = bound.map_err(|source| StartError::Listen { key, address, source })?;
            let limits = ListenerLimits { workers: 1, connections_max: CONNECTIONS_MAX, ..ListenerLimits::default() };
            let server = serve(bound, &limits, answers.routes()).map_err(StartError::Serve)?;
            let handle = server.handle();
            actix::spawn(server);
            Some(handle)
        }
    };
    let names = names(acme, &settings.server.name);
    let folders = (settings.server.data_dir.clone(), files.clone());
    let actor = RenewalActor::new(acme.clone(), names, folders, answers, Arc::new(SystemClock));
    Ok(Some(CertificateRenewal { _actor: actor.start(), proofs }))
}

impl CertificateRenewal {
    /// Stops the listener of proofs without waiting for its callers.
    pub(super) async fn stop(self) {
        if let Some(proofs) = self.proofs {
            proofs.stop(false).await;
        }
    }
}

/// Returns the names of the certificate: those of the configuration, or the server's, without a port.
fn names(acme: &AcmeOptions, own: &ServerName) -> Vec<String> {
    match acme.names.is_empty() {
        false => acme.names.clone(),
        true => vec![own.host().to_owned()],
    }
}
