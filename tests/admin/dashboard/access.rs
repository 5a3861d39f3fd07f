//! Access to the pages: the login, its cookie, and requests of other pages.

use actix_web::http::Method;

use crate::dashboard::visit::DashboardVisits;
use crate::fixture::OperatorFixture;

const PAGES: &[&str] =
    &["/", "/peers", "/peers/blue.example", "/flow", "/quarantine", "/quarantine/events", "/contexts", "/trace"];

/// Logs in and returns the cookie.
async fn log_in(visits: &DashboardVisits, next: &str) -> (String, String) {
    let body = format!("credential=sesame&next={next}");
    let answer = visits.ask(Method::POST, "/login", &[("origin", "http://127.0.0.1:9882")], &body).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    let cookie = answer.header("set-cookie").split(';').next().expect("a pair").to_owned();
    (cookie, answer.header("location").to_owned())
}

#[actix_web::test]
async fn pages_need_login_or_token() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    for page in PAGES {
        let answer = visits.ask(Method::GET, page, &[], "").await;
        assert_eq!((answer.status, answer.text.as_str()), (303, ""), "{page}");
        assert!(answer.header("location").starts_with("/login"), "{page}");
        let answer = visits.ask(Method::GET, page, &[("authorization", "Bearer sesam")], "").await;
        assert_eq!(answer.status, 303, "{page}");
        visits.page(page).await;
    }
    let answer = visits.ask(Method::GET, "/peers?name=a%26b", &[], "").await;
    assert_eq!(answer.header("location"), "/login?next=%2Fpeers%3Fname%3Da%2526b");
    for (page, kind) in [("/login", "text/html"), ("/dashboard.css", "text/css"), ("/icon.svg", "image/svg+xml")] {
        let answer = visits.ask(Method::GET, page, &[], "").await;
        assert_eq!(answer.status, 200, "{page}");
        assert!(answer.header("content-type").starts_with(kind), "{page}");
    }
}

#[actix_web::test]
async fn login_gives_strict_cookie() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    let wrong = visits.ask(Method::POST, "/login", &[], "credential=sesam&next=%2Fpeers").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (403, ""));
    assert!(wrong.text.contains("not the token of this gateway") && wrong.text.contains(r#"value="/peers""#));
    let (cookie, location) = log_in(&visits, "%2Fpeers").await;
    assert_eq!(location, "/peers");
    let page = visits.ask(Method::GET, "/peers", &[("cookie", &format!("a=b; {cookie}; c=d"))], "").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Log out"), "{}", page.text);
    // A value that nobody was given.
    let guess = cookie.split_once('=').map(|(name, _)| format!("{name}=guess")).expect("a pair");
    assert_eq!(visits.ask(Method::GET, "/peers", &[("cookie", &guess)], "").await.status, 303);
    // Who has a session needs no form.
    assert_eq!(
        visits.ask(Method::GET, "/login?next=%2Fflow", &[("cookie", &cookie)], "").await.header("location"),
        "/flow"
    );

    let secure = DashboardVisits::with_tls(&operator, "sesame");
    for (visits, prefix, is_secure) in [(&visits, "fernpost-", false), (&secure, "__Host-fernpost-", true)] {
        let answer = visits.ask(Method::POST, "/login", &[], "credential=sesame").await;
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with(prefix) && cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

#[actix_web::test]
async fn session_ends_with_logout_or_time() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    let (cookie, _) = log_in(&visits, "").await;
    let held = [("cookie", cookie.as_str())];
    let page = visits.ask(Method::GET, "/", &held, "").await;
    assert_eq!(visits.ask(Method::POST, "/logout", &held, "token=guess").await.status, 403);
    let body = format!("token={}", page.form_token());
    let answer = visits.ask(Method::POST, "/logout", &held, &body).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(visits.ask(Method::GET, "/", &held, "").await.status, 303);

    let (cookie, _) = log_in(&visits, "").await;
    operator.pass(12 * 60 - 1);
    assert_eq!(visits.ask(Method::GET, "/", &[("cookie", &cookie)], "").await.status, 200);
    operator.pass(1);
    assert_eq!(visits.ask(Method::GET, "/", &[("cookie", &cookie)], "").await.status, 303);
}

#[actix_web::test]
async fn every_answer_carries_strict_policy() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, None);
    let paths = PAGES.iter().chain(&["/login", "/dashboard.css", "/icon.svg", "/peers/nobody", "/trace?id=x"]);
    for path in paths {
        let answer = visits.ask(Method::GET, path, &[], "").await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        for inline in ["<script", "<style", " style=", "javascript:", " onclick", "http://", "https://"] {
            assert!(!answer.text.contains(inline) || path.ends_with(".svg"), "{path} has {inline}: {}", answer.text);
        }
    }
}

#[actix_web::test]
async fn open_listener_refuses_foreign_names() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, None);
    let page = visits.ask(Method::GET, "/", &[], "").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("Log out"));
    let foreign = visits.ask(Method::GET, "/", &[("host", "evil.example:9882")], "").await;
    assert_eq!(foreign.status, 403);
    assert!(foreign.text.contains("use 127.0.0.1 or localhost"), "{}", foreign.text);
    let body =
        format!("act=suspend&token={}", visits.ask(Method::GET, "/peers/blue.example", &[], "").await.form_token());
    for headers in [[("origin", "http://evil.example")], [("origin", "null")], [("sec-fetch-site", "cross-site")]] {
        assert_eq!(visits.ask(Method::POST, "/peers/blue.example", &headers, &body).await.status, 403, "{headers:?}");
    }
    let own = [("origin", "http://127.0.0.1:9882"), ("sec-fetch-site", "same-origin")];
    assert_eq!(visits.ask(Method::POST, "/peers/blue.example", &own, &body).await.status, 303);
}
