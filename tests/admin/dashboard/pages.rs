//! The content of the pages: state, queues, quarantine, contexts and traces, with every text of others as text.

use actors::change::Change;
use actors::model::{
    ContextId, ContextRecord, Delivery, FeedFlags, Gap, Head, Millis, ParkedCode, ParkedItem, ParkedWhat,
};
use actors::model::{Pdu, PduProof, PduRef, PduState, StoredPdu};
use bytes::Bytes;
use fixtures::peers::name;

use crate::dashboard::visit::DashboardVisits;
use crate::fixture::OperatorFixture;

/// Markup that must never reach a page as markup.
const HOSTILE: &str = r#""><script>alert('x')</script><img src=x onerror=alert(1)>"#;

fn visits(operator: &OperatorFixture) -> DashboardVisits {
    DashboardVisits::of(operator, Some("sesame"))
}

/// Returns an item of blue in quarantine with this reason.
pub(super) fn parked(reason: &str, bytes: &'static [u8]) -> Change {
    let parked = ParkedItem {
        from: name("blue.example"),
        what: ParkedWhat::Pdu {
            origin: Some(HOSTILE.to_owned()),
            id: Some("p1".to_owned()),
            context: Some("#room".parse().expect("an id")),
        },
        code: ParkedCode::NotAParticipant,
        reason: reason.to_owned(),
        verified: None,
        bytes: Bytes::from_static(bytes),
    };
    Change::Quarantined { parked, keep: 10 }
}

fn pdu(id: &str) -> PduRef {
    PduRef { origin: name("blue.example"), id: id.parse().expect("an id") }
}

/// Returns a delivered message of blue with these parents, the first of which is missing.
fn delivered(context: &ContextId, id: &str, parents: &[&str], position: i64, gap: &[&str]) -> Change {
    let pairs: Vec<String> = parents.iter().map(|id| format!(r#"["blue.example","{id}"]"#)).collect();
    let bytes = format!(
        r#"{{"pdu_id":"{id}","origin":"blue.example","ts":1000,"pdu_type":"m.<b>","prev_pdus":[{}],"content":{{}}}}"#,
        pairs.join(",")
    );
    let shown = FeedFlags { gap: gap.iter().map(|id| pdu(id)).collect(), ..FeedFlags::default() };
    let stored = StoredPdu {
        pdu: Pdu {
            reference: pdu(id),
            context: context.clone(),
            prev: parents.iter().map(|id| pdu(id)).collect(),
            depth: Some(3),
            kind: "m.text".into(),
            state: None,
            to: None,
            bytes: bytes.into(),
            proof: PduProof::Sender,
        },
        sender: Some(name("blue.example")),
        verified: "mtls",
        received: Millis(2_000),
        standing: PduState::Delivered(Delivery { position, depth: 3, shown: Some(shown) }),
    };
    Change::PduStored(Box::new(stored))
}

/// Waits until an attempt at a peer has failed.
async fn until_failed(operator: &OperatorFixture, server: &str) {
    while operator.get(&format!("/peers/{server}")).await["failures"] == 0 {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn overview_says_what_is_wrong() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    let page = visits.page("/").await.text;
    assert!(page.contains("Nothing is wrong.") && page.contains("red.example") && page.contains(">ready<"), "{page}");
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    operator.post("/peers/blue.example/suspend", "").await;
    let page = visits.page("/").await.text;
    assert!(page.contains("it is suspended by an operator; 1 items wait"), "{page}");
    assert!(page.contains("<code>fernpost peer resume blue.example</code>"), "{page}");
    assert!(page.contains(r#"<a href="/peers/blue.example">"#), "{page}");
}

#[actix_web::test]
async fn peers_are_listed_by_backlog() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    operator.submit("m-1", &["blue.example"], &["{}", "{}"]).await;
    let order = |page: &str| (page.find("/peers/blue.example"), page.find("/peers/green.example"));
    let page = visits.page("/peers").await.text;
    let (blue, green) = order(&page);
    assert!(blue.expect("blue") < green.expect("green"), "{page}");
    operator.submit("m-2", &["green.example"], &["{}", "{}", "{}"]).await;
    let page = visits.page("/peers").await.text;
    let (blue, green) = order(&page);
    assert!(blue.expect("blue") > green.expect("green"), "{page}");
    let page = visits.page("/peers?name=gre").await.text;
    assert!(order(&page).0.is_none() && order(&page).1.is_some(), "{page}");
    // A number of rows that is too large, and a name that is markup.
    let page = visits.page("/peers?from=18446744073709551615&name=%3Cb%3E").await.text;
    assert!(page.contains("&#60;b&#62;") && !page.contains("<b>\""), "{page}");
}

#[actix_web::test]
async fn peer_page_shows_its_attempts() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    until_failed(&operator, "blue.example").await;
    let page = visits.page("/peers/blue.example").await.text;
    assert!(page.contains("the cable is out"), "{page}");
    assert!(page.contains("Try now") && page.contains(">Suspend<"), "{page}");
    operator.post("/peers/blue.example/suspend", "").await;
    let page = visits.page("/peers/blue.example").await.text;
    assert!(page.contains("suspended: admin") && page.contains(">Resume<"), "{page}");
}

#[actix_web::test]
async fn hostile_texts_stay_texts() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    let context: ContextId = HOSTILE.parse().expect("any text is an id");
    let mut record = ContextRecord::new(context.clone(), vec![name("blue.example")], false);
    record.heads = vec![Head::of(pdu("p2"), 3, None)];
    let changes = vec![
        parked(HOSTILE, br#"{"x":"</pre><script>alert(1)</script>"}"#),
        Change::ContextRecordUpdated(Box::new(record)),
        delivered(&context, "p2", &[], 1, &[]),
    ];
    operator.core.commit(changes).await;
    let encoded: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        "/quarantine".to_owned(),
        "/quarantine/blue.example/in:1".to_owned(),
        "/contexts".to_owned(),
        format!("/contexts/{encoded}"),
        format!("/peers?name={encoded}"),
        "/trace?id=blue.example%2Fp2".to_owned(),
    ] {
        let page = visits.page(&path).await.text;
        for markup in ["<script", "<img", "<b>\"", "alert('x')"] {
            assert!(!page.contains(markup), "{path} has {markup}: {page}");
        }
        assert!(page.contains("&#60;script&#62;alert("), "{path} shows it: {page}");
    }
    for path in [format!("/trace?id={encoded}"), format!("/contexts/{encoded}x"), format!("/peers/{encoded}")] {
        let page = visits.ask(actix_web::http::Method::GET, &path, &[("authorization", "Bearer sesame")], "").await;
        assert_eq!(page.status, 404, "{path}: {}", page.text);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        assert!(page.text.contains("&#60;script&#62;") && !page.text.contains("<script"), "{path}: {}", page.text);
    }
}

#[actix_web::test]
async fn context_page_draws_its_graph() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    let context: ContextId = "#room".parse().expect("an id");
    let mut record = ContextRecord::new(context.clone(), vec![name("blue.example"), name("green.example")], false);
    record.heads = vec![Head::of(pdu("p3"), 3, None)];
    let gap = Gap { missing: pdu("lost"), children: vec![pdu("p2")], edge: false };
    let changes = vec![
        Change::ContextRecordUpdated(Box::new(record)),
        delivered(&context, "p1", &[], 1, &[]),
        delivered(&context, "p2", &["lost", "p1"], 2, &["lost"]),
        delivered(&context, "p3", &["p2"], 3, &[]),
        Change::GapOpened { context: context.clone(), gap },
    ];
    operator.core.commit(changes).await;
    let list = visits.page("/contexts?gaps=true").await.text;
    assert!(list.contains(r#"href="/contexts/%23room""#), "{list}");
    let page = visits.page("/contexts/%23room").await.text;
    assert_eq!(page.matches(r#"class="dot""#).count(), 4, "three messages and the legend: {page}");
    assert_eq!(page.matches("<title>blue.example/lost is missing</title>").count(), 1, "{page}");
    assert_eq!((page.matches("link known").count(), page.matches("link gap").count()), (2, 1), "{page}");
    assert!(page.contains("named by <bdi>blue.example/p2</bdi>") && page.contains("m.&#60;b&#62;"), "{page}");
    assert!(page.contains(r#"href="/trace?id=blue.example%2Fp3""#), "{page}");
    // The page before the oldest message is empty, and says so.
    let page = visits.page("/contexts/%23room?before=1").await.text;
    assert!(page.contains("Nothing has been delivered here."), "{page}");
}

#[actix_web::test]
async fn trace_follows_submission_and_message() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    operator.submit("m-1", &["blue.example", "green.example"], &["{}"]).await;
    until_failed(&operator, "blue.example").await;
    until_failed(&operator, "green.example").await;
    let page = visits.page("/trace?id=m-1").await.text;
    assert!(page.contains("/peers/blue.example") && page.contains("/peers/green.example"), "{page}");
    assert!(page.contains("the cable is out") && page.contains("queued"), "{page}");
    operator.wire(true);
    operator.post("/peers/blue.example/retry", "").await;
    operator.taken(1).await;
    operator.core.settled().await;
    let page = visits.page("/trace?id=m-1").await.text;
    assert!(page.contains("<li><time") && page.contains("<bdi>acknowledged</bdi>"), "no failure: {page}");
    let page = visits.page("/trace").await.text;
    assert!(page.contains(r#"<form class="search wide""#), "{page}");
}

#[actix_web::test]
async fn flow_page_counts_and_draws() {
    let operator = OperatorFixture::start();
    let visits = visits(&operator);
    let page = visits.page("/flow").await.text;
    assert_eq!(page.matches("<svg viewBox").count(), 4 + 1, "four charts and the sign: {page}");
    let flow = operator.get("/flow?minutes=2").await;
    assert_eq!(flow["minutes"].as_array().map(Vec::len), Some(2), "{flow}");
    assert_eq!(operator.get("/flow?minutes=99999").await["minutes"].as_array().map(Vec::len), Some(1_440));
}
