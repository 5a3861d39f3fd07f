//! Contexts as a list and one by one, and heads that an operator merges.

use actix_web::http::Method;
use actors::change::Change;
use actors::model::{ContextId, ContextRecord, Gap, Head, PduRef};
use fixtures::peers::name;
use serde_json::json;

use crate::fixture::OperatorFixture;

fn pdu(id: &str) -> PduRef {
    PduRef { origin: name("blue.example"), id: id.parse().expect("an id") }
}

/// Returns a context with blue and this number of heads.
fn record(context: &str, ends: u64) -> ContextRecord {
    let context: ContextId = context.parse().expect("a context");
    let mut record = ContextRecord::new(context, vec![name("blue.example")], false);
    record.heads = (0..ends).map(|n| Head::of(pdu(&format!("h{n:03}")), 5, None)).collect();
    record.depth = 5;
    record
}

async fn kept(operator: &OperatorFixture, record: ContextRecord) {
    operator.core.commit(vec![Change::ContextRecordUpdated(Box::new(record))]).await;
}

#[actix_web::test]
async fn context_list_is_paged_by_name() {
    let operator = OperatorFixture::start();
    for (context, ends) in [("#c", 1), ("#a", 3), ("#b", 0)] {
        kept(&operator, record(context, ends)).await;
    }
    let context: ContextId = "#a".parse().expect("a context");
    let gap = |id, edge| Gap { missing: pdu(id), children: vec![pdu("h000")], edge };
    let gaps = [gap("x", false), gap("y", true)];
    let open = gaps.map(|gap| Change::GapOpened { context: context.clone(), gap });
    let added = vec![Head::of(pdu("h900"), 5, None)];
    let further = Change::OverflowHeadsChanged { context: context.clone(), added, gone: vec![] };
    operator.core.commit(open.into_iter().chain([further]).collect()).await;
    let first = operator.get("/contexts?limit=2").await;
    let listed = |context: &str, heads, gaps| {
        let participants = ["red.example", "blue.example"];
        json!({"context": context, "participants": participants, "heads": heads, "depth": 5, "held": 0, "gaps": gaps})
    };
    assert_eq!(first, json!({"contexts": [listed("#a", 4, 1), listed("#b", 0, 0)], "next": "#b"}));
    let rest = operator.get("/contexts?after=%23b").await;
    assert_eq!(rest, json!({"contexts": [listed("#c", 1, 0)]}));
    assert_eq!(operator.get("/contexts?after=%23c").await, json!({"contexts": []}));
}

#[actix_web::test]
async fn context_view_matches_messenger_api() {
    let operator = OperatorFixture::start();
    kept(&operator, record("#a/b c", 1)).await;
    let shown = operator.get("/contexts/%23a%2Fb%20c").await;
    assert_eq!((&shown["context"], &shown["heads"]), (&json!("#a/b c"), &json!([["blue.example", "h000"]])), "{shown}");
    for path in ["/contexts/%23other", "/contexts/%0A"] {
        let (status, none) = operator.call(Method::GET, path, "").await;
        assert_eq!((status, none["code"].as_str()), (404, Some("UNKNOWN_CONTEXT")), "{path}: {none}");
    }
}

#[actix_web::test]
async fn merge_reduces_heads_and_notifies_participants() {
    let operator = OperatorFixture::start();
    kept(&operator, record("#a", 25)).await;
    let merged = operator.post("/contexts/%23a/merge", "").await;
    assert_eq!(merged, json!({"context": "#a", "heads": 25, "left": 1, "said": 3}));
    let again = operator.post("/contexts/%23a/merge", "").await;
    assert_eq!(again, json!({"context": "#a", "heads": 1, "left": 1, "said": 0}));
    let list = operator.get("/contexts").await;
    let row = &list["contexts"][0];
    assert_eq!((&row["heads"], &row["last"]), (&json!(1), &json!("1970-01-11T00:00:00.000Z")), "{list}");
    let queue = operator.get("/queue/blue.example").await;
    assert_eq!(queue["items"].as_array().map(Vec::len), Some(3), "all participants receive the merges: {queue}");
    let (status, none) = operator.call(Method::POST, "/contexts/%23other/merge", "").await;
    assert_eq!((status, none["code"].as_str()), (404, Some("UNKNOWN_CONTEXT")), "{none}");
}
