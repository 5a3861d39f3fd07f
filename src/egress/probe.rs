//! Reaches a peer step by step, for an operator who wants to know why it is not reached.
//!
//! It uses the same gate as every request, with connections of its own, so that no gateway has to run. `outside_view` calls every address
//! of a server, for the server itself.

pub(crate) mod outside_view;

use std::sync::Arc;
use std::time::Duration;

use actors::model::{Millis, PushFailure, RequestDeadlines, ServerName};
use actors::ports::Clock;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{HeaderName, LOCATION};
use tokio::time::{Instant, timeout, timeout_at};

use crate::egress::address_book::{AddressBook, PeerRoute};
use crate::egress::client::EgressOptions;
use crate::egress::connection::{ConnectCall, OfferedProtocols, PeerConnector, PeerTls, StepRecord, StepTrace};
use crate::egress::dns::NameResolver;
use crate::egress::error_words::in_words;
use crate::egress::http_connection::HttpConnection;
use crate::egress::request_writer::{RequestWriter, written_target};
use crate::egress::response::{AnswerLimit, stated_time};
use crate::egress::signer::RequestSigner;
use crate::egress::{EgressAnswer, EgressRequest};
use crate::identity::key_directory::KEY_DIRECTORY_PATH;

/// The limit of an answer: that of a key directory.
const ANSWER_LIMIT: AnswerLimit = AnswerLimit { key: "64 KiB", bytes_max: 64 * 1024 };

/// Reaches peers step by step.
pub(crate) struct PeerProbe {
    directory: Arc<dyn AddressBook>,
    connector: PeerConnector,
    writer: RequestWriter,
}

/// A connection to a peer, on which requests are made one after the other.
pub(crate) struct ProbeConnection<'a> {
    probe: &'a PeerProbe,
    server: ServerName,
    route: Arc<PeerRoute>,
    deadlines: RequestDeadlines,
    /// The connection, unless the peer closes it after each answer.
    open: Option<HttpConnection>,
}

/// An answer of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeAnswer {
    /// Status.
    pub(crate) status: u16,
    /// Time of the peer's clock, if it states one.
    pub(crate) date: Option<Millis>,
    /// Target of a redirect.
    pub(crate) location: Option<String>,
    /// The body.
    pub(crate) body: Bytes,
}

impl PeerProbe {
    /// Returns a probe for the server `us`.
    pub(crate) fn new(
        us: &ServerName,
        directory: Arc<dyn AddressBook>,
        clock: Arc<dyn Clock>,
        options: EgressOptions,
        signer: Option<RequestSigner>,
    ) -> Self {
        let tls = PeerTls::new(clock).with(options.roots, options.own_pair);
        let connector = PeerConnector::new(Arc::clone(&directory), NameResolver::new(&options.resolver), tls);
        let writer = RequestWriter::new(us);
        let writer = match signer {
            Some(signer) => writer.signed_by(signer),
            None => writer,
        };
        Self { directory, connector, writer }
    }

    /// Looks a peer up, and returns the steps and whether there is an address to connect to.
    pub(crate) async fn find(&self, server: &ServerName) -> (Vec<StepRecord>, bool) {
        let (route, trace) = (self.directory.route(server), StepTrace::recording());
        let (protocols, within) = (OfferedProtocols::Both, Duration::ZERO);
        let call = ConnectCall { server, route: &route, prefer: None, protocols, within, trace: &trace };
        let found = self.connector.find(call).await;
        (trace.take(), found.is_ok())
    }

    /// Reads the key directory of a server by this way, which has to be one over TLS.
    pub(crate) async fn key_directory(
        &self,
        server: &ServerName,
        route: PeerRoute,
        deadlines: RequestDeadlines,
    ) -> Result<ProbeAnswer, PushFailure> {
        let (server, route) = (server.clone(), Arc::new(route));
        let mut connection = ProbeConnection { probe: self, server, route, deadlines, open: None };
        connection.ask(&EgressRequest::get(KEY_DIRECTORY_PATH, EgressAnswer::Needed)).await
    }

    /// Connects to a peer within the time of a whole request, and returns the steps and the connection.
    pub(crate) async fn connect(
        &self,
        server: &ServerName,
        deadlines: RequestDeadlines,
    ) -> (Vec<StepRecord>, Result<ProbeConnection<'_>, PushFailure>) {
        let (route, trace) = (self.directory.route(server), StepTrace::recording());
        let mut connection = ProbeConnection { probe: self, server: server.clone(), route, deadlines, open: None };
        let opened = timeout(deadlines.total, connection.open(&trace)).await.unwrap_or(Err(PushFailure::TimedOut));
        (trace.take(), opened.map(|()| connection))
    }
}

impl ProbeConnection<'_> {
    /// Sends a request and reads its answer, whatever its status.
    pub(crate) async fn ask(&mut self, request: &EgressRequest) -> Result<ProbeAnswer, PushFailure> {
        let deadline = Instant::now() + self.deadlines.total;
        let target = written_target(&request.path)
            .ok_or_else(|| PushFailure::Unreachable("the request target cannot be written".into()))?;
        let mut written = self.probe.writer.written(&self.server, target, request);
        for is_last in [false, true] {
            if self.open.as_ref().is_none_or(HttpConnection::is_closed) {
                timeout_at(deadline, self.open(StepTrace::OFF)).await.map_err(|_elapsed| PushFailure::TimedOut)??;
            }
            let Some(connection) = &mut self.open else { break };
            let _in_use = connection.in_use();
            match timeout_at(deadline, connection.send(written)).await {
                Err(_elapsed) => return Err(PushFailure::TimedOut),
                Ok(Ok(response)) => return read(response, deadline).await,
                Ok(Err(failed)) => match failed.unsent {
                    Some(unsent) if !is_last => written = unsent,
                    _ => return Err(PushFailure::Broken(in_words(&failed.error))),
                },
            }
            self.open = None;
        }
        Err(PushFailure::Broken("the peer closes each connection at once".to_owned()))
    }

    async fn open(&mut self, trace: &StepTrace) -> Result<(), PushFailure> {
        let call = ConnectCall {
            server: &self.server,
            route: &self.route,
            prefer: None,
            protocols: OfferedProtocols::Both,
            within: self.deadlines.connect,
            trace,
        };
        let connection = self.probe.connector.connect(call).await.map_err(PushFailure::Unreachable)?;
        let begun = HttpConnection::begin(connection, Arc::clone(&self.route)).await;
        self.open = Some(begun.map_err(|error| PushFailure::Broken(in_words(&error)))?);
        Ok(())
    }
}

async fn read(response: Response<Incoming>, deadline: Instant) -> Result<ProbeAnswer, PushFailure> {
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let date = stated_time(response.headers());
    let (status, location) = (response.status().as_u16(), header(LOCATION).map(str::to_owned));
    let mut body = BytesMut::new();
    let mut incoming = response.into_body();
    loop {
        match timeout_at(deadline, incoming.frame()).await {
            Err(_elapsed) => return Err(PushFailure::TimedOut),
            Ok(None) => return Ok(ProbeAnswer { status, date, location, body: body.freeze() }),
            Ok(Some(Err(broken))) => return Err(PushFailure::Broken(in_words(&broken))),
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                if body.len() + data.len() > ANSWER_LIMIT.bytes_max {
                    return Err(ANSWER_LIMIT.exceeded());
                }
                body.extend_from_slice(&data);
            }
        }
    }
}
