//! The metrics in the format of Prometheus.

use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actors::model::{
    Digest, InboundEphemeral, InboundTransaction, Millis, Pdu, PduProof, PduRef, PduVerdict, PeerReceipts, ServerName,
};
use actors::ports::EphemeralSink;
use bytes::Bytes;
use fernpost::admin::certificates::CertificateEnds;
use fernpost::admin::metrics::{MetricsRecorder, ObservedParts, configure};
use fernpost::maintenance::scheduled_backup::BackupSchedule;
use fernpost::messenger::OpenStreams;
use fernpost::messenger::ephemeral_feed::EphemeralFeed;
use fernpost::rpc::{CallRegister, RpcLimits, RpcRules};
use fernpost::telemetry::deliveries::DeliveryObserver;
use fernpost::telemetry::limit_counts::LimitCounts;
use fernpost::telemetry::peer_clocks::PeerClocks;
use fernpost::telemetry::refused_callers::RefusedCallers;
use fernpost::telemetry::spans::ItemSpans;
use fixtures::peers::name;

use crate::fixture::OperatorFixture;

struct UsualRules;

impl RpcRules for UsualRules {
    fn rpc_limits(&self) -> RpcLimits {
        let (timeout, timeout_max) = (Duration::from_secs(10), Duration::from_secs(60));
        RpcLimits { body_max: 1 << 20, timeout, timeout_max, max: 256 }
    }

    fn rpc_peer_max(&self, _: &ServerName) -> u32 {
        16
    }
}

/// Returns the observed parts of the gateway; one peer has labels of its own.
fn observed(operator: &OperatorFixture) -> ObservedParts {
    ObservedParts {
        verify: Default::default(),
        backups: BackupSchedule::default(),
        spans: ItemSpans::default(),
        observer: DeliveryObserver::new(operator.core.clock.clone(), None),
        store: operator.core.store.clone(),
        clocks: PeerClocks::default(),
        named_max: Arc::new(|| 1),
        refused_callers: RefusedCallers::default(),
        began: Millis(0),
    }
}

/// Scrapes the metrics, and returns the lines that are not comments.
async fn scrape(operator: &OperatorFixture) -> Vec<String> {
    let (ends, counts) = (CertificateEnds::default(), LimitCounts::default());
    let calls = Arc::new(CallRegister::new(UsualRules));
    let ports = operator.core.gateway.ports();
    let ephemeral = Arc::new(EphemeralFeed::new(ports.roster.clone(), ports.clock.clone(), vec![]));
    let update = InboundEphemeral::Update(Bytes::from_static(b"{}"));
    ephemeral.show(&name("blue.example"), vec![update.clone(), update]);
    let shown = (OpenStreams::default(), ephemeral);
    let metrics = MetricsRecorder::new(operator.core.gateway.clone(), ends, counts, None, calls, shown);
    let metrics = metrics.observing(observed(operator));
    let app = init_service(App::new().configure(|config| configure(config, metrics.clone()))).await;
    let answer = call_service(&app, TestRequest::get().uri("/metrics").to_request()).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers().get(CONTENT_TYPE).expect("a type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(read_body(answer).await.to_vec()).expect("text");
    let is_explained =
        |line: &&str| line.is_empty() || line.starts_with("# HELP fernpost_") || line.starts_with("# TYPE");
    text.lines().filter(|line| !is_explained(line)).map(str::to_owned).collect()
}

/// Sends `count` messages without parents from blue; each becomes a head.
async fn ends(operator: &OperatorFixture, context: &str, from: u64, count: u64) {
    let pdu = |n: u64| Pdu {
        reference: PduRef { origin: name("blue.example"), id: format!("{context}-{n:06}").parse().expect("an id") },
        context: context.parse().expect("a context"),
        prev: vec![],
        depth: None,
        kind: "m.text".into(),
        state: None,
        to: None,
        bytes: Bytes::from_static(b"{}"),
        proof: PduProof::Sender,
    };
    let transaction = InboundTransaction {
        id: format!("{context}{from}"),
        digest: Digest([3; 16]),
        prev_ids: vec![],
        pdus: (from..from + count).map(|n| Ok(pdu(n))).collect(),
        edus: vec![],
        relay_to: vec![],
        verified: "network",
        receipts: PeerReceipts::NONE,
        nonce: None,
    };
    let accepted =
        operator.core.gateway.accept_transaction(&name("blue.example"), transaction).await.expect("accepted");
    assert!(accepted.verdicts.iter().all(|verdict| *verdict == PduVerdict::Accepted));
}

#[actix_web::test]
async fn head_metrics_stay_bounded() {
    let operator = OperatorFixture::start();
    let heads = |lines: &[String]| {
        let is_head = |line: &&String| line.starts_with("fernpost_context_");
        let mut lines: Vec<_> = lines.iter().filter(is_head).cloned().collect();
        lines.sort();
        lines
    };
    let lines = |most: u32, forgotten: u32| {
        [
            format!("fernpost_context_heads_forgotten_total {forgotten}"),
            format!("fernpost_context_open_heads {most}"),
            "fernpost_context_open_heads_max 2000".to_owned(),
        ]
    };
    assert_eq!(heads(&scrape(&operator).await), lines(0, 0));
    ends(&operator, "#a", 0, 3).await;
    ends(&operator, "#b", 0, 30).await;
    ends(&operator, "#c", 0, 1).await;
    let with_three = scrape(&operator).await;
    assert_eq!(heads(&with_three), lines(30, 0));
    operator.post("/contexts/%23b/merge", "").await;
    assert_eq!(heads(&scrape(&operator).await), lines(3, 0), "merged heads are not counted");
    for from in (3..2_003).step_by(100) {
        ends(&operator, "#a", from, 100).await;
    }
    let with_many = scrape(&operator).await;
    assert_eq!(heads(&with_many), lines(2_000, 3));
    assert_eq!(with_many.len(), with_three.len(), "there is no line per context");
}

#[actix_web::test]
async fn peer_metrics_count_states_and_backlog() {
    let operator = OperatorFixture::start();
    let said = async |line: &str| {
        let lines = scrape(&operator).await;
        assert!(lines.iter().any(|other| other == line), "{line}: {lines:#?}");
    };
    said("fernpost_peers{state=\"idle\"} 0").await;
    said("fernpost_peers_max 10000").await;
    said("fernpost_streams 0").await;
    said("fernpost_ephemeral_dropped_total{reason=\"no_reader\"} 2").await;
    said("fernpost_ephemeral_dropped_total{reason=\"expired\"} 0").await;
    said("fernpost_feed_unread_events 0").await;
    operator.submit("s1", &["blue.example", "green.example"], &["{}", "{}"]).await;
    operator.post("/peers/green.example/suspend", "").await;
    operator.submit("s2", &["green.example"], &["{}"]).await;
    // A submission is answered after its commit; the peers' actors are notified after that.
    for _ in 0..1000 {
        if scrape(&operator).await.iter().any(|line| line == "fernpost_outbox_items 5") {
            break;
        }
        tokio::task::yield_now().await;
    }
    said("fernpost_outbox_items 5").await;
    said("fernpost_peers{state=\"suspended\"} 1").await;
    ends(&operator, "#a", 0, 7).await;
    said("fernpost_feed_unread_events 8").await; // one event reports that green is suspended
}

#[actix_web::test]
async fn queue_metrics_name_few_peers() {
    let operator = OperatorFixture::start();
    for server in ["blue.example", "green.example"] {
        operator.post(&format!("/peers/{server}/suspend"), "").await;
        operator.submit(server, &[server], &["{}"]).await;
    }
    // A submission is answered after its commit; the peers' actors are notified after that, and the clock must not move before.
    for _ in 0..100_000 {
        if scrape(&operator).await.iter().any(|line| line == "fernpost_outbox_items 2") {
            break;
        }
        tokio::task::yield_now().await;
    }
    operator.pass(5);
    let queued = |lines: &[String]| {
        let of_peers =
            lines.iter().filter(|line| line.starts_with("fernpost_peer_") && !line.starts_with("fernpost_peer_b"));
        of_peers.cloned().collect::<Vec<_>>()
    };
    let expected = [
        "fernpost_peer_oldest_unacked_seconds{peer=\"green.example\"} 300",
        "fernpost_peer_oldest_unacked_seconds{peer=\"other\"} 300",
        "fernpost_peer_state{peer=\"green.example\",state=\"suspended\"} 1",
        "fernpost_peer_state{peer=\"other\",state=\"suspended\"} 1",
    ];
    let lines = scrape(&operator).await;
    assert_eq!(queued(&lines), expected);
    for line in
        ["fernpost_outbound_oldest_unacked_seconds 300", "fernpost_outbox_bytes 4", "fernpost_quarantine_items 0"]
    {
        assert!(lines.iter().any(|other| other == line), "{line}: {lines:#?}");
    }
}

#[actix_web::test]
async fn scraped_metrics_are_documented() {
    let lines = scrape(&OperatorFixture::start()).await;
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operating.md")).expect("a page");
    for line in lines {
        let name = line.split(['{', ' ']).next().expect("a name");
        let series = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
        let is_documented = |name: &str| document.contains(&format!("`{name}`"));
        assert!(is_documented(name) || series.is_some_and(is_documented), "{name} stands nowhere in docs/operating.md");
    }
}
