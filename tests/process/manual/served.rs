//! `/manual` of a running gateway.

use fernpost::admin::manual::TOPICS;
use reqwest::Client;

use crate::fixtures::node::GatewayProcess;

#[tokio::test]
async fn manual_pages_need_no_token() {
    let mut red = GatewayProcess::new("red");
    red.start_with(&["admin.token=sesame"]).await;
    let client = Client::builder().no_proxy().build().expect("a client");
    let pages = TOPICS.iter().map(|topic| (format!("/manual/{}", topic.name), 200, topic.title()));
    let others =
        [("/manual", 200, "Manual"), ("/manual/", 200, "Manual"), ("/manual/nothing", 404, "no page of this name")];
    for (path, status, words) in pages.chain(others.map(|(path, status, words)| (path.to_owned(), status, words))) {
        let answer = client.get(format!("http://{}{path}", red.admin)).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{path}: {policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let page = answer.text().await.expect("text");
        assert!(page.contains(&words.replace('&', "&amp;")), "{path} has no {words:?}");
        for refused in ["<script", " style=", "javascript:", " onclick="] {
            assert!(!page.contains(refused), "{path} contains {refused}");
        }
    }
    let style = client.get(format!("http://{}/manual/manual.css", red.admin)).send().await.expect("an answer");
    assert_eq!(
        (style.status().as_u16(), &style.headers()["content-type"]),
        (200, &"text/css; charset=utf-8".parse().expect("text"))
    );
    let posted = client.post(format!("http://{}/manual", red.admin)).send().await.expect("an answer");
    assert_eq!(posted.status().as_u16(), 405);
}
