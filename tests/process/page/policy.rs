//! The headers of a page's answers, and requests from other origins.

use reqwest::Client;

use crate::page::demo::RunningDemo;

#[tokio::test]
async fn every_page_answer_has_policy() {
    let demo = RunningDemo::start();
    let client = Client::builder().no_proxy().build().expect("a client");
    let page = demo.address("red", "page");
    let get = |path: &str| client.get(format!("{page}{path}"));
    let post = |path: &str, body: &'static str| {
        client.post(format!("{page}{path}")).header("content-type", "application/json").body(body)
    };
    for (request, status) in [
        (get("/"), 200),
        (client.head(format!("{page}/")), 200),
        (get("/page.js"), 200),
        (get("/page.css"), 200),
        (get("/api/start"), 200),
        (get("/api/stream"), 200),
        (get("/api/history?context=%23garden"), 200),
        (get("/api/history?context=%23nowhere"), 404),
        (get("/api/history"), 400),
        (get("/nowhere"), 404),
        (get("/../Cargo.toml"), 404),
        (post("/api/say", "{}"), 400),
        (post("/api/say", r##"{"id":"../x","context":"#garden","text":"hm"}"##), 422),
        (post("/api/cut", r#"{"cut":true}"#).header("origin", "http://evil.example"), 403),
        (post("/api/cut", r#"{"cut":true}"#).header("host", "evil.example"), 403),
        (client.post(format!("{page}/api/cut")).body(r#"{"cut":true}"#), 400),
        (get("/").header("host", "evil.example"), 403),
    ] {
        let request = request.build().expect("sound");
        let what = format!("{} {}", request.method(), request.url());
        let answer = client.execute(request).await.expect("it answers");
        assert_eq!(answer.status().as_u16(), status, "{what}");
        let policy = answer.headers().get("content-security-policy").unwrap_or_else(|| panic!("{what}: no policy"));
        let policy = policy.to_str().expect("text");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{what}: {policy}");
        assert!(!policy.contains("unsafe"), "{what}: {policy}");
    }
    for listener in ["messenger", "admin", "federation"] {
        let address = demo.address("green", listener);
        assert!(client.get(address).send().await.is_ok(), "{listener} answers");
    }
}
