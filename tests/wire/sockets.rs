//! Both halves of the boundary over a real socket: our transport writes to our listener.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actors::errors::AdmissionError;
use actors::model::{
    Ack, BatchId, DeadLetterReason, DialectSpec, Item, ItemObjection, Millis, OutboundBatch, PeerReceipts, PushFailure,
    PushNovelty, PushResponse, Receipt, RequestDeadlines, Seq, ServerName,
};
use actors::ports::Transport;
use actors::testkit::TestClock;
use bytes::Bytes;
use fernpost::egress::{AddressBook, EgressClient, EgressOptions, PeerRoute, PeerService};
use fernpost::http::body::BodyLimit;
use fernpost::http::serve::{ListenerLimits, serve};
use fernpost::json::nesting::BodyNestingLimit;
use fernpost::wire::transport::PeerTransport;
use fernpost::wire::{DialectServices, routes};
use fixtures::keys::TrustingRelayJudge;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::circle::{Circle, name};
use crate::handler::{ScriptedCore, TestAdmission, core, scripted};

pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

pub(crate) fn listen(core: &Arc<ScriptedCore>, body_time: Duration) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let body =
        BodyLimit { key: "federation.body_max", bytes: 1 << 20, time: body_time, time_key: "federation.body_timeout" };
    let gate = DialectServices {
        intake: core.clone(),
        admission: Arc::new(TestAdmission),
        judge: Arc::new(TrustingRelayJudge),
        body,
        nesting: BodyNestingLimit::default(),
    };
    let serving = ListenerLimits { workers: 1, ..ListenerLimits::default() };
    let server = serve(listener, &serving, move |config| routes(&gate, config)).expect("serves");
    Listening { address, handle: server.handle(), task: tokio::spawn(server) }
}

pub(crate) struct One(pub(crate) String);

impl AddressBook for One {
    fn route(&self, _: &ServerName) -> Arc<PeerRoute> {
        let service = PeerService { name: "_actor-server._tcp", default_port: 9880 };
        Arc::new(PeerRoute::new(vec![self.0.parse().expect("an address")], service))
    }
    fn allows(&self, _: IpAddr) -> bool {
        false
    }
}

/// Returns a client of this server that finds all peers by this book.
pub(crate) fn client(us: &str, book: Arc<One>) -> EgressClient {
    EgressClient::new(&name(us), book, Arc::new(TestClock::fixed(Millis(0))), EgressOptions::default())
}

async fn pushed(us: &str, at: SocketAddr) -> Result<PushResponse, PushFailure> {
    pushed_with(us, at, Bytes::from_static(br#"{"exact": 1.0}"#)).await
}

async fn pushed_with(us: &str, at: SocketAddr, update: Bytes) -> Result<PushResponse, PushFailure> {
    let directory = Arc::new(One(format!("http://{at}/")));
    let egress = Arc::new(client(us, directory));
    let transport = PeerTransport::new(egress, name(us), Arc::new(Circle::default()), Arc::new(TrustingRelayJudge));
    let deadlines = RequestDeadlines { connect: Duration::from_secs(5), total: Duration::from_secs(20) };
    let label = BatchId::SeqRange { first: Some(Seq(7)), last: Seq(7) };
    let frame = OutboundBatch {
        receipts: PeerReceipts::NONE,
        to: name("blue.example"),
        dialect: DialectSpec::UPDATES,
        label,
        items: vec![Item::Update(update)],
        weak: vec![],
        traces: vec![],
        deadlines,
    };
    transport.push(frame).await
}

#[actix_web::test]
async fn push_round_trips_every_answer() {
    let busy = AdmissionError::LimitReached { limit: "peers.intake_max", value: 4, wait: Duration::from_secs(3) };
    let conflict = Ack::Hole { expected: Seq(2), conflict: true };
    for (said, heard, window, reason) in [
        (Ok(Ack::Ok(Seq(7))), Ack::Ok(Seq(7)), Some(2), None),
        (Ok(conflict), conflict, Some(2), None),
        (Err(busy.into()), Ack::Wait(Duration::from_secs(3)), None, Some("peers.intake_max is reached (4)")),
    ] {
        let core = core(said);
        let listening = listen(&core, Duration::from_secs(30));
        assert_eq!(
            pushed("red.example", listening.address).await,
            Ok(PushResponse {
                ack: heard,
                window,
                refused: vec![],
                receipts: PeerReceipts::NONE,
                reason: reason.map(str::to_owned)
            })
        );
        {
            let taken = core.taken.lock().expect("not poisoned");
            assert_eq!(taken[0].1.strong[0].bytes, &br#"{"exact": 1.0}"#[..]);
        }
        listening.handle.stop(true).await;
        listening.task.await.expect("no panic").expect("a clean end");
    }
}

#[actix_web::test]
async fn push_refusal_returns_its_reason() {
    let listening = listen(&core(Ok(Ack::Ok(Seq(7)))), Duration::from_secs(30));
    let refused = pushed("blue.example", listening.address).await;
    let Err(PushFailure::Refused { status: 401, reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("UNAUTHENTICATED"), "{reason}");
    listening.handle.stop(true).await;
    listening.task.await.expect("no panic").expect("a clean end");
    assert!(matches!(pushed("red.example", listening.address).await, Err(PushFailure::Unreachable(_))));
}

#[actix_web::test]
async fn parked_updates_come_back_with_answer() {
    let mut core = scripted(Ok(Ack::Ok(Seq(7))));
    core.answer = Ok(Receipt {
        ack: Ack::Ok(Seq(7)),
        parked: vec![(Seq(7), "NOT_A_PARTICIPANT")],
        receipts: PeerReceipts::NONE,
        novelty: PushNovelty::Empty,
    });
    let listening = listen(&Arc::new(core), Duration::from_secs(30));
    let refused =
        vec![ItemObjection { place: 0, fate: DeadLetterReason::ParkedByPeer, reason: "NOT_A_PARTICIPANT".to_owned() }];
    let answered =
        PushResponse { ack: Ack::Ok(Seq(7)), window: Some(2), refused, receipts: PeerReceipts::NONE, reason: None };
    assert_eq!(pushed("red.example", listening.address).await, Ok(answered));
    listening.handle.stop(true).await;
    listening.task.await.expect("no panic").expect("a clean end");
}

/// A sender whose connection is closed while it still writes would see only a broken connection, and repeat the same push
/// for ever.
#[actix_web::test]
async fn huge_body_refusal_reaches_sender() {
    let listening = listen(&core(Ok(Ack::Ok(Seq(7)))), Duration::from_secs(30));
    let huge = Bytes::from(format!(r#"{{"a":"{}"}}"#, "x".repeat(6 << 20)));
    for (us, expected) in [("red.example", 413), ("blue.example", 401)] {
        for _ in 0..10 {
            let refused = pushed_with(us, listening.address, huge.clone()).await;
            assert!(matches!(refused, Err(PushFailure::Refused { status, .. }) if status == expected), "{refused:?}");
        }
    }
    listening.handle.stop(false).await;
}

#[actix_web::test]
async fn slow_body_answers_408() {
    let listening = listen(&core(Ok(Ack::Ok(Seq(7)))), Duration::from_millis(100));
    let mut stream = TcpStream::connect(listening.address).await.expect("connects");
    let head = "POST /http/v1/updates HTTP/1.1\r\nHost: blue.example\r\nContent-Length: 10\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("read"), 0, "closed without an answer");
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("BODY_TIMEOUT"), "{answer}");
    listening.handle.stop(false).await;
}
