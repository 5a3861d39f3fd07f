//! The listener for peers: who is accepted, and the response to each result of the core.

use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::web::Data;
use actix_web::{App, web};
use actors::errors::{AdmissionError, BatchError, PeerError, UnavailableError};
use actors::limits::{HistoryLimits, InteropQuirks};
use actors::model::{
    Ack, ContextId, InboundPush, InboundTransaction, Millis, PduRef, PduVerdict, PeerReceipts, Receipt, SentPage, Seq,
    ServerName, StrongBody, TransactionReceipt,
};
use actors::ports::{ArchiveError, ServedPdu, Task};
use bytes::Bytes;
use fernpost::http::authentication::{CallerChecks, PeerAuthPolicy};
use fernpost::http::body::BodyLimit;
use fernpost::http::drain::DrainSignal;
use fernpost::http::error_middleware::ErrorMiddleware;
use fernpost::http::error_middleware::direct_routes::DirectTable;
use fernpost::http::head_limit::HeadLimit;
use fernpost::json::nesting::{BodyNestingLimit, JSON_DEPTH_MAX};
use fernpost::wire::core_api::Soon;
use fernpost::wire::direct_pushes::DirectPushes;
use fernpost::wire::pdu::ReferenceContext;
use fernpost::wire::{DialectServices, FederationCore, routes};
use fixtures::keys::TrustingRelayJudge;

use crate::circle::name;

/// red is authenticated on 10.1.0.0/16 and loopback, black is denied on 10.2.0.0/16; on 10.3.0.1 both red and blue are
/// authenticated.
pub(crate) struct TestAdmission;

impl PeerAuthPolicy for TestAdmission {
    fn denied(&self, server: &ServerName) -> bool {
        server.as_str() == "black.example"
    }
    fn allows_address(&self, server: &ServerName, address: IpAddr) -> bool {
        let shared =
            address == IpAddr::from([10, 3, 0, 1]) && ["red.example", "blue.example"].contains(&server.as_str());
        shared || self.peer_by_address(address).as_ref() == Some(server)
    }
    fn peer_by_address(&self, address: IpAddr) -> Option<ServerName> {
        match address {
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 1] || v4.is_loopback() => Some(name("red.example")),
            IpAddr::V4(v4) if v4.octets()[..2] == [10, 2] => Some(name("black.example")),
            _ => None,
        }
    }
    fn is_peer_address(&self, address: IpAddr) -> bool {
        self.peer_by_address(address).is_some() || address == IpAddr::from([10, 3, 0, 1])
    }
    fn listed(&self, _: &ServerName) -> bool {
        true
    }
}

/// A core that returns scripted results and records its input.
pub(crate) struct ScriptedCore {
    pub(crate) answer: Result<Receipt, BatchError>,
    /// Result for a transaction; by default each PDU is accepted.
    pub(crate) verdicts: Option<Result<Vec<PduVerdict>, BatchError>>,
    /// Receipts for the sender of a transaction.
    pub(crate) receipts: PeerReceipts,
    pub(crate) taken: Mutex<Vec<(ServerName, InboundPush)>>,
    pub(crate) transactions: Mutex<Vec<(ServerName, InboundTransaction)>>,
    /// The stored PDUs.
    pub(crate) stored: Vec<(PduRef, ServedPdu)>,
    /// Transactions sent to red.
    pub(crate) sent: Vec<(u64, Vec<PduRef>)>,
    /// True if the store cannot be read.
    pub(crate) broken: bool,
    /// Contexts in which red participates.
    pub(crate) contexts: Vec<&'static str>,
    /// Interop quirks of every peer.
    pub(crate) habits: InteropQuirks,
    us: ServerName,
}

impl ScriptedCore {
    fn ask(&self) -> Result<(), ArchiveError> {
        if self.broken { Err(ArchiveError("gone".to_owned())) } else { Ok(()) }
    }
}

impl ReferenceContext for ScriptedCore {
    fn is_server(&self, name: &ServerName) -> bool {
        *name == self.us
    }
    fn habits(&self, _: &ServerName) -> InteropQuirks {
        self.habits
    }

    fn known(&self, _: &ContextId, _: Vec<PduRef>) -> Task<Result<Vec<PduRef>, ArchiveError>> {
        Box::pin(ready(self.ask().map(|()| vec![])))
    }
    /// Only red participates, in the contexts listed.
    fn takes_part(&self, context: &ContextId, server: &ServerName) -> Task<Result<bool, ArchiveError>> {
        let takes_part = self.contexts.contains(&context.as_str()) && server.as_str() == "red.example";
        Box::pin(ready(self.ask().map(|()| takes_part)))
    }
}

impl FederationCore for ScriptedCore {
    fn accept<'a>(&'a self, from: &'a ServerName, push: InboundPush) -> Soon<'a, Result<Receipt, BatchError>> {
        assert_ne!(push.seq, Seq(666), "poison");
        self.taken.lock().expect("not poisoned").push((from.clone(), push));
        let answer = self.answer.clone();
        Box::pin(async move { answer })
    }
    fn accept_transaction<'a>(
        &'a self,
        from: &'a ServerName,
        transaction: InboundTransaction,
    ) -> Soon<'a, Result<TransactionReceipt, BatchError>> {
        let id = transaction.id.as_str().into();
        let accepted = vec![PduVerdict::Accepted; transaction.pdus.len()];
        self.transactions.lock().expect("not poisoned").push((from.clone(), transaction));
        let verdicts = self.verdicts.clone().unwrap_or(Ok(accepted));
        let receipts = self.receipts.clone();
        Box::pin(async move { Ok(TransactionReceipt { verdicts: verdicts?, receipts, id, new_after: None }) })
    }
    fn window(&self, _: &ServerName) -> u32 {
        2
    }
    fn pdu(&self, reference: &PduRef) -> Task<Result<Option<ServedPdu>, ArchiveError>> {
        let stored = self.stored.iter().find(|(stored, _)| stored == reference).map(|(_, pdu)| pdu.clone());
        Box::pin(ready(self.ask().map(|()| stored)))
    }
    /// Returns the stored ones of the named PDUs, without their ancestors.
    fn backfill<'a>(
        &'a self,
        context: &'a ContextId,
        asker: &'a ServerName,
        from: Vec<PduRef>,
        limit: u32,
        _: u64,
    ) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        Box::pin(async move {
            self.ask()?;
            let found = from.iter().filter_map(|named| self.stored.iter().find(|(stored, _)| stored == named));
            let of_context =
                found.map(|(_, pdu)| pdu.clone()).filter(|pdu| pdu.context == *context && pdu.is_for(asker));
            Ok(of_context.take(limit as usize).collect())
        })
    }
    /// Returns all stored PDUs of the context.
    fn state<'a>(&'a self, context: &'a ContextId, _: u64) -> Soon<'a, Result<Vec<ServedPdu>, ArchiveError>> {
        Box::pin(async move {
            self.ask()?;
            let stored = self.stored.iter().map(|(_, pdu)| pdu.clone());
            Ok(stored.filter(|pdu| pdu.context == *context && pdu.delivered).collect())
        })
    }
    /// Returns the scripted transactions for red after that one: this many PDUs per page, and at least one transaction.
    fn sent_after<'a>(
        &'a self,
        server: &'a ServerName,
        after: u64,
        items: u32,
        _: u64,
    ) -> Soon<'a, Result<SentPage, PeerError>> {
        Box::pin(async move {
            self.ask().map_err(|_| UnavailableError::OutcomeUnknown)?;
            let mut page = SentPage::default();
            for (id, pdus) in self.sent.iter().filter(|(id, _)| *id > after && server.as_str() == "red.example") {
                if page.last.is_some() && page.pdus.len() + pdus.len() > items as usize {
                    page.more = true;
                    break;
                }
                page.last = Some(*id);
                page.pdus.extend(pdus.iter().map(|pdu| (*id, pdu.clone(), Bytes::new())));
            }
            Ok(page)
        })
    }
    fn history(&self) -> HistoryLimits {
        HistoryLimits { backfill_max: 3, pull_max: 2, ..HistoryLimits::default() }
    }
    fn us(&self) -> &ServerName {
        &self.us
    }
    fn now(&self) -> Millis {
        Millis(1_404_835_423_000)
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: serde_json::Value,
    pub(crate) text: String,
}

pub(crate) const LIMIT: BodyLimit = BodyLimit {
    key: "federation.body_max",
    bytes: 400,
    time: Duration::from_secs(30),
    time_key: "federation.body_timeout",
};

/// An answer in any encoding.
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Bytes,
}

pub(crate) async fn send(core: &Arc<ScriptedCore>, request: TestRequest) -> Answer {
    let RawAnswer { status, content_type, retry_after, body } = send_raw(core, request).await;
    assert_eq!(content_type, "application/json");
    let text = String::from_utf8(body.to_vec()).expect("text");
    Answer { status, retry_after, body: serde_json::from_str(&text).expect("every answer is JSON"), text }
}

pub(crate) async fn send_raw(core: &Arc<ScriptedCore>, request: TestRequest) -> RawAnswer {
    send_by(RouteKind::Direct, core, request).await
}

/// The routes that a request takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RouteKind {
    /// Direct ones, for requests that have one.
    Direct,
    /// Those of the table, without the checks around it.
    Table,
}

pub(crate) async fn send_by(routes_of: RouteKind, core: &Arc<ScriptedCore>, request: TestRequest) -> RawAnswer {
    let gate = DialectServices {
        intake: core.clone(),
        admission: Arc::new(TestAdmission),
        judge: Arc::new(TrustingRelayJudge),
        body: LIMIT,
        nesting: BodyNestingLimit::default(),
    };
    let checks = CallerChecks { policy: Data::from(gate.admission.clone()), signatures: None, forwarded: None };
    let head = HeadLimit { key: "federation.headers_max", bytes: 16 << 10 };
    let direct = DirectPushes::new(&gate, head, checks, DrainSignal::default().door(|_, _| None));
    let app = App::new().wrap(ErrorMiddleware).configure(|config| {
        if routes_of == RouteKind::Direct {
            config.app_data(DirectTable(Rc::new(direct)));
        }
        routes(&gate, config);
    });
    let app = app.route("/number/{n}", web::get().to(|n: web::Path<u32>| async move { n.to_string() }));
    let response = match try_call_service(&init_service(app).await, request.to_request()).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let header = |key| response.headers().get(key).map(|value| value.to_str().expect("text").to_owned());
    let (status, retry_after) = (response.status().as_u16(), header("retry-after"));
    let content_type = header("content-type").unwrap_or_default();
    let body = to_bytes(response.into_body().boxed()).await.expect("a body");
    RawAnswer { status, content_type, retry_after, body }
}

pub(crate) fn core(answer: Result<Ack, BatchError>) -> Arc<ScriptedCore> {
    Arc::new(scripted(answer))
}

pub(crate) fn scripted(answer: Result<Ack, BatchError>) -> ScriptedCore {
    ScriptedCore {
        answer: answer.map(Receipt::from),
        verdicts: None,
        receipts: PeerReceipts::NONE,
        taken: Mutex::default(),
        transactions: Mutex::default(),
        stored: vec![],
        sent: vec![],
        broken: false,
        contexts: vec!["c"],
        habits: InteropQuirks::default(),
        us: name("us.example"),
    }
}

fn from(address: &str) -> TestRequest {
    let peer: SocketAddr = format!("{address}:5000").parse().expect("an address");
    TestRequest::post().uri("/http/v1/updates").peer_addr(peer)
}

fn push() -> TestRequest {
    from("10.1.0.1").set_payload(r#"{"strong":[{"a":1},2],"seq":9,"from_seq":8,"weak":[{}]}"#)
}

async fn refused(request: TestRequest) -> (u16, String, String) {
    let core = core(Ok(Ack::Ok(Seq(1))));
    let answer = send(&core, request).await;
    assert!(core.taken.lock().expect("not poisoned").is_empty(), "nothing was taken");
    let text = |key: &str| answer.body[key].as_str().expect("a text").to_owned();
    assert_eq!(answer.body.as_object().expect("an object").len(), 2);
    (answer.status, text("code"), text("error"))
}

#[actix_web::test]
async fn push_reaches_core_and_answers() {
    let core = core(Ok(Ack::Ok(Seq(9))));
    let answer = send(&core, push()).await;
    assert_eq!(answer.body.to_string(), r#"{"receive":"ok","seq":9,"window":2}"#);
    let taken = core.taken.lock().expect("not poisoned");
    let (peer, push) = &taken[0];
    assert_eq!(
        (peer.as_str(), push.seq, push.from_seq, push.verified),
        ("red.example", Seq(9), Some(Seq(8)), "network")
    );
    let strong: Vec<_> = push
        .strong
        .iter()
        .map(|strong| (strong.bytes.as_ref(), matches!(strong.body, StrongBody::Unsound(..))))
        .collect();
    assert_eq!(strong, [(&b"{\"a\":1}"[..], false), (&b"2"[..], true)]);
}

#[actix_web::test]
async fn deep_body_is_refused_unread() {
    let nested = |depth: usize| format!(r#"{{"seq":1,"strong":[{}{}]}}"#, "[".repeat(depth), "]".repeat(depth));
    let core = core(Ok(Ack::Ok(Seq(1))));
    let request = from("10.1.0.1").set_payload(nested(JSON_DEPTH_MAX - 2));
    assert_eq!(send(&core, request).await.status, 200);
    for body in [nested(JSON_DEPTH_MAX - 1), "[".repeat(390)] {
        let (status, code, words) = refused(from("10.1.0.1").set_payload(body)).await;
        assert_eq!((status, code.as_str()), (400, "NESTS_TOO_DEEP"));
        assert!(words.contains("128 levels (federation.json_depth)"), "{words}");
    }
}

#[actix_web::test]
async fn core_answers_map_to_dialect() {
    let red = || name("red.example");
    let second = Duration::from_secs(1);
    let busy = AdmissionError::LimitReached { limit: "peers.intake_max", value: 4, wait: second * 3 / 2 };
    let misnumbered = BatchError::Misnumbered { from_seq: Some(Seq(8)), seq: Seq(9), count: 1 };
    let table = [
        (Ok(Ack::Hole { expected: Seq(3), conflict: false }), 200, r#"{"receive":"hole_detected","seq":3,"window":2}"#),
        (Ok(Ack::Wait(second * 120)), 200, r#"{"receive":"wait","wait":120}"#),
        (Err(busy.into()), 200, r#"{"receive":"wait","wait":2,"reason":"peers.intake_max is reached (4)"}"#),
        (
            Err(UnavailableError::OutcomeUnknown.into()),
            200,
            r#"{"receive":"wait","wait":1,"reason":"the outcome is unknown; repeat the request"}"#,
        ),
        (
            Err(UnavailableError::Stopping.into()),
            200,
            r#"{"receive":"wait","wait":1,"reason":"the gateway is stopping"}"#,
        ),
        (
            Err(BatchError::Faulty(red())),
            200,
            r#"{"receive":"wait","wait":60,"reason":"the state of red.example is faulty; see the log, then resume it"}"#,
        ),
        (Err(BatchError::TooManyItems { count: 3, max: 2 }), 413, "PUSH_TOO_LONG"),
        (Err(misnumbered), 400, "MISNUMBERED"),
        (Err(PeerError::UnknownPeer(red()).into()), 403, "FORBIDDEN"),
    ];
    for (said, status, expected) in table {
        let words = format!("{said:?}");
        let answer = send(&core(said), push()).await;
        let (got, wanted) = match status {
            200 => (answer.body, serde_json::from_str(expected).expect("JSON")),
            _ => (answer.body["code"].clone(), serde_json::Value::from(expected)),
        };
        assert_eq!((answer.status, got, answer.retry_after), (status, wanted, None), "{words}");
    }
}

#[actix_web::test]
async fn trailing_slash_is_same_path() {
    assert_eq!(send(&core(Ok(Ack::Ok(Seq(9)))), push().uri("/http/v1/updates/")).await.status, 200);
}

#[actix_web::test]
async fn unauthenticated_push_stops_before_body() {
    let code = |(status, code, _): (u16, String, String)| (status, code);
    let body = "not even JSON";
    let unproved = (401, "UNAUTHENTICATED".to_owned());
    assert_eq!(code(refused(from("192.0.2.1").set_payload(body)).await), unproved);
    let impostor = from("192.0.2.1").insert_header(("Fernpost-Origin", "red.example")).set_payload(body);
    assert_eq!(code(refused(impostor).await), unproved);
    assert_eq!(code(refused(from("10.2.0.1").set_payload(body)).await), (403, "FORBIDDEN".to_owned()));
    let nameless = push().insert_header(("Fernpost-Origin", "red..example"));
    assert_eq!(code(refused(nameless).await), (400, "BAD_ORIGIN".to_owned()));
}

#[actix_web::test]
async fn push_refusal_names_limit_value() {
    let (status, code, words) = refused(from("10.1.0.1").set_payload(" ".repeat(401))).await;
    assert_eq!((status, code.as_str()), (413, "BODY_TOO_LARGE"));
    assert!(words.contains("federation.body_max") && words.contains("400"), "{words}");
    let announced = from("10.1.0.1").set_payload("{}").insert_header(("Content-Length", "99999999999"));
    assert_eq!(refused(announced).await.0, 413);

    let (status, code, words) = refused(from("10.1.0.1").set_payload(r#"{"strong":[1,2,3],"seq":3}"#)).await;
    assert_eq!((status, code.as_str()), (413, "PUSH_TOO_LONG"));
    assert!(words.contains('2') && words.contains('3'), "{words}");
}

#[actix_web::test]
async fn malformed_push_is_400() {
    for (body, expected) in
        [("", "NOT_JSON"), ("{\"seq\":NaN}", "NOT_JSON"), ("{}", "NOT_A_PUSH"), ("[]", "NOT_A_PUSH")]
    {
        let (status, code, _) = refused(from("10.1.0.1").set_payload(body)).await;
        assert_eq!((status, code.as_str()), (400, expected), "{body}");
    }
}

#[actix_web::test]
async fn every_answer_is_json() {
    let of = |(status, code, _): (u16, String, String)| (status, code);
    let get = || from("10.1.0.1").method(Method::GET);
    assert_eq!(of(refused(get().uri("/nowhere")).await), (404, "NOT_FOUND".to_owned()));
    assert_eq!(of(refused(get().uri("/http/v1/updates")).await), (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(of(refused(get().uri("/number/x")).await).0, 404);
    // Unknown callers do not learn which paths exist, nor does a caller without a name at a shared address.
    for method in [Method::GET, Method::POST, Method::PUT, Method::HEAD, Method::DELETE] {
        for uri in
            ["/nowhere", "/", "/http/v1/updates", "/matrix/federation/v1/send/7/", "/matrix/federation/v1/nothing/"]
        {
            for address in ["192.0.2.1", "10.3.0.1"] {
                let answer = send(&core(Ok(Ack::Ok(Seq(1)))), from(address).method(method.clone()).uri(uri)).await;
                let is_open = address == "10.3.0.1" && method == Method::PUT && uri.contains("/send/");
                assert_eq!(answer.status, if is_open { 400 } else { 401 }, "{method} {uri} from {address}");
            }
        }
    }
    for uri in ["/http/v1/updates", "/nowhere", "/"] {
        let answer = send(&core(Ok(Ack::Ok(Seq(1)))), TestRequest::default().method(Method::OPTIONS).uri(uri)).await;
        assert_eq!((answer.status, answer.body.to_string()), (200, "{}".to_owned()), "{uri}");
    }
}

/// A panic inside actix-web would close the connection without a response, and the peer would count us as unreachable.
#[actix_web::test]
async fn handler_panic_answers_500() {
    let poison = from("10.1.0.1").set_payload(r#"{"seq":666}"#);
    let (status, code, words) = refused(poison).await;
    assert_eq!((status, code.as_str()), (500, "INTERNAL"));
    assert!(!words.contains("poison"), "internal errors are only logged");
}
