//! Pending items by age, and as a list.

use serde_json::json;

use crate::fixture::OperatorFixture;

#[actix_web::test]
async fn queue_shape_counts_by_age() {
    let operator = OperatorFixture::start();
    // At the end the items are 2 days, 90, 45 and 3 minutes old.
    for (id, updates, minutes) in [("a", 1, 2 * 24 * 60 - 90), ("b", 2, 45), ("c", 3, 42), ("d", 4, 3)] {
        operator.submit(id, &["blue.example"], &vec!["{}"; updates]).await;
        operator.pass(minutes);
    }
    operator.submit("e", &["green.example"], &["{}"]).await;
    let shape = operator.get("/queue").await;
    assert_eq!(shape["buckets"], json!(["5m", "10m", "20m", "40m", "80m", "160m", "320m", "1d", "1d+"]));
    let expected = json!([
        {"server": "blue.example", "total": 10, "counts": [4, 0, 0, 0, 3, 2, 0, 0, 1]},
        {"server": "green.example", "total": 1, "counts": [1, 0, 0, 0, 0, 0, 0, 0, 0]},
    ]);
    assert_eq!((&shape["peers"], shape.get("next")), (&expected, None), "{shape}");
    let after = operator.get("/queue?after=blue.example").await;
    assert_eq!(after["peers"].as_array().map(Vec::len), Some(1), "{after}");
}

#[actix_web::test]
async fn long_queue_is_counted_completely() {
    let operator = OperatorFixture::start();
    // The queue is longer than one page of the count.
    for batch in 0..3 {
        operator.submit(&format!("m-{batch}"), &["blue.example"], &vec!["{}"; 7_000]).await;
        operator.pass(12);
    }
    let shape = operator.get("/queue").await;
    assert_eq!(shape["peers"][0]["total"], 21_000, "{shape}");
    assert_eq!(shape["peers"][0]["counts"], json!([0, 0, 7_000, 14_000, 0, 0, 0, 0, 0]), "{shape}");
}

#[actix_web::test]
async fn queue_listing_is_paged() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}", r#"{"text":"hello"}"#]).await;
    operator.submit("m-2", &["blue.example"], &["{}"]).await;
    let first = operator.get("/queue/blue.example?limit=2").await;
    let expected = json!([
        {"index": 1, "queued": "1970-01-11T00:00:00.000Z", "kind": "update", "submission": "m-1", "size": 2},
        {"index": 2, "queued": "1970-01-11T00:00:00.000Z", "kind": "update", "submission": "m-1", "size": 16},
    ]);
    assert_eq!((&first["items"], &first["next"]), (&expected, &json!(2)), "{first}");
    let rest = operator.get("/queue/blue.example?after=2&limit=2").await;
    assert_eq!((&rest["items"][0]["submission"], rest.get("next")), (&json!("m-2"), None), "{rest}");
    let none = operator.get("/queue/green.example").await;
    assert_eq!(none["items"], json!([]), "{none}");
}
