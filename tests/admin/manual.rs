//! `/manual`: pages for people, which hold no script and lead to one another.

use actix_web::App;
use actix_web::http::Method;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use fernpost::admin::manual::{TOPICS, configure};

/// Makes a call, and returns the status, the policy and the body of the response.
async fn call(method: Method, path: &str) -> (u16, String, String) {
    let app = init_service(App::new().configure(configure)).await;
    let answer = call_service(&app, TestRequest::default().method(method).uri(path).to_request()).await;
    let status = answer.status().as_u16();
    let policy =
        answer.headers().get("content-security-policy").map(|policy| policy.to_str().expect("text").to_owned());
    let body = read_body(answer).await;
    (status, policy.unwrap_or_default(), String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn manual_lists_and_shows_topics() {
    let (status, policy, list) = call(Method::GET, "/manual").await;
    assert_eq!(status, 200);
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    for topic in TOPICS {
        let path = format!("/manual/{}", topic.name);
        assert!(list.contains(&format!("href=\"{path}\"")), "{path} is not listed");
        let (status, same_policy, page) = call(Method::GET, &path).await;
        assert_eq!((status, &same_policy), (200, &policy), "{path}");
        assert!(page.contains(&format!("<a href=\"{path}\" aria-current=\"page\">")), "{path} does not mark its place");
        assert!(page.matches("<h1").count() >= 1 && page.ends_with("</html>\n"), "{path}");
    }
}

#[tokio::test]
async fn manual_refuses_other_paths() {
    let (status, policy, page) = call(Method::GET, "/manual/%3Cscript%3E").await;
    assert_eq!(status, 404);
    assert!(page.contains("There is no page of this name") && !page.contains("<script"), "{page}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(call(Method::POST, "/manual/start").await.0, 405);
    assert_eq!(call(Method::GET, "/manual/start/more").await.0, 404);
    let (status, _, style) = call(Method::GET, "/manual/manual.css").await;
    assert!(status == 200 && style.contains("prefers-color-scheme: dark"), "{style}");
}
