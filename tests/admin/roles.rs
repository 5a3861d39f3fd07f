//! The roles of tokens: each call needs one.

use actix_web::http::Method;
use serde_json::Value;

use crate::fixture::{OPERATING_TOKEN, OperatorFixture, READING_TOKEN};

/// Returns all calls below `/admin/v1` with the roles that they need, as the document states them.
fn described_calls() -> Vec<(Method, String, String)> {
    let document = fernpost::admin::document();
    let mut calls = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let Some(path) = path.strip_prefix("/admin/v1") else { continue };
        for (method, operation) in item.as_object().expect("an item") {
            let words = operation["description"].as_str().unwrap_or_else(|| panic!("{path} names no role"));
            let role = words.split('`').nth(1).expect("a role").to_owned();
            let method = method.to_uppercase().parse().expect("a method");
            calls.push((method, path.replace("{server}", "blue.example").replace(['{', '}'], ""), role));
        }
    }
    calls
}

#[actix_web::test]
async fn each_call_needs_its_role() {
    let operator = OperatorFixture::start();
    let calls = described_calls();
    for (method, path, role) in &calls {
        for (token, refused) in [(READING_TOKEN, role != "read"), (OPERATING_TOKEN, role == "administer")] {
            let (status, said) = operator.call_as(Some(token), method.clone(), path, "").await;
            let code = format!("NEEDS_{}", role.to_uppercase());
            assert_eq!(status == 403 && said["code"] == code.as_str(), refused, "{method} {path} {token}: {said}");
        }
    }
    let roles = |wanted: &str| calls.iter().filter(|(_, _, role)| role == wanted).count();
    assert!(roles("read") > 5 && roles("operate") > 5 && roles("administer") > 5);
}

#[actix_web::test]
async fn changes_need_more_than_read() {
    for (method, path, role) in described_calls() {
        assert!(method == Method::GET || role != "read", "{method} {path}");
    }
}

#[actix_web::test]
async fn reading_token_sees_no_text() {
    let operator = OperatorFixture::start();
    let refused = |said: Value| assert_eq!(said["code"], "NEEDS_OPERATE", "{said}");
    for path in ["/quarantine?of=messenger", "/quarantine/blue.example/in:1"] {
        refused(operator.call_as(Some(READING_TOKEN), Method::GET, path, "").await.1);
        let (status, _) = operator.call_as(Some(OPERATING_TOKEN), Method::GET, path, "").await;
        assert_ne!(status, 403, "{path}");
    }
    assert_eq!(operator.call_as(Some(READING_TOKEN), Method::GET, "/quarantine", "").await.0, 200);
}
