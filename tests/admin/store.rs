//! The size of the running store, and a backup that one call starts and others poll.

use actix_web::http::Method;
use serde_json::json;

use crate::fixture::OperatorFixture;

#[actix_web::test]
async fn store_stats_count_rows_per_table() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}", "{}"]).await;
    let stats = operator.get("/store").await;
    let rows = |name: &str| {
        let tables = stats["tables"].as_array().expect("a list");
        tables.iter().find(|table| table["name"] == name).map(|table| table["rows"].clone())
    };
    assert_eq!((rows("outbox"), rows("submissions")), (Some(json!(2)), Some(json!(1))), "{stats}");
    assert!(stats["counts"]["commits"].as_u64() > Some(0), "{stats}");
    assert_eq!(stats.get("file_bytes"), None, "the store is in memory: {stats}");
}

#[actix_web::test]
async fn backup_runs_once_until_done() {
    let operator = OperatorFixture::start();
    operator.submit("m-1", &["blue.example"], &["{}"]).await;
    assert_eq!(operator.call(Method::GET, "/store/backup", "").await.0, 404, "no backup was started");
    let relative = operator.call(Method::POST, "/store/backup", r#"{"path":"red.backup"}"#).await;
    assert_eq!((relative.0, relative.1["code"].as_str()), (422, Some("BAD_PATH")), "{}", relative.1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("red.backup");
    let wanted = json!({ "path": path }).to_string();
    let (status, begun) = operator.call(Method::POST, "/store/backup", &wanted).await;
    assert_eq!((status, &begun["state"]), (202, &json!("running")), "{begun}");
    let (status, twice) = operator.call(Method::POST, "/store/backup", &wanted).await;
    assert_eq!((status, twice["code"].as_str()), (409, Some("BACKUP_RUNNING")), "{twice}");
    let done = watched(&operator).await;
    assert_eq!((&done["state"], done["rows"].as_u64() > Some(2)), (&json!("done"), true), "{done}");
    let verified = fernpost::store::verify(&path).expect("a file that can be read");
    assert!(verified.is_sound() && verified.taken.is_some(), "{verified:?}");
    assert_eq!(operator.call(Method::POST, "/store/backup", &wanted).await.0, 202, "another one can start now");
    let failed = watched(&operator).await;
    assert_eq!(failed["state"], "failed", "the file is not overwritten: {failed}");
    assert!(failed["error"].as_str().is_some_and(|words| words.contains("is there already")), "{failed}");
}

async fn watched(operator: &OperatorFixture) -> serde_json::Value {
    loop {
        let job = operator.get("/store/backup").await;
        if job["state"] != "running" {
            return job;
        }
        tokio::task::yield_now().await;
    }
}
