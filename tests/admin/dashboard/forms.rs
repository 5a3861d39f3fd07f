//! Forms that change something: release, drop, and the commands for a peer.

use actix_web::http::Method;
use fernpost::http::bearer::operator_role::OperatorRole;

use crate::dashboard::pages::parked;
use crate::dashboard::visit::{DashboardVisits, VisitedPage};
use crate::fixture::OperatorFixture;

const TOKEN: (&str, &str) = ("authorization", "Bearer sesame");

async fn post(visits: &DashboardVisits, path: &str, body: &str) -> VisitedPage {
    visits.ask(Method::POST, path, &[TOKEN, ("origin", "http://127.0.0.1:9882")], body).await
}

async fn kept(operator: &OperatorFixture) -> usize {
    operator.get("/quarantine").await["items"].as_array().expect("a list").len()
}

#[actix_web::test]
async fn forms_release_and_drop_items() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    operator.core.commit(vec![parked("no", br#"{"pdu_id":"p1"}"#), parked("no", b"17")]).await;
    let item = "/quarantine/blue.example/in:1";
    let page = visits.page(item).await;
    let token = page.form_token();
    // What is still wrong with it is a page, and it stays.
    let stays = post(&visits, item, &format!("act=release&token={token}")).await;
    assert_eq!((stays.status, kept(&operator).await), (422, 2), "{}", stays.text);
    assert!(stays.header("content-type").starts_with("text/html"), "{}", stays.text);
    for (body, status) in [
        (format!("act=drop&sure=yes&token={token}x"), 403),
        ("act=drop&sure=yes".to_owned(), 400),
        (format!("act=drop&token={token}"), 422),
        (format!("act=burn&token={token}"), 400),
    ] {
        let refused = post(&visits, item, &body).await;
        assert_eq!((refused.status, kept(&operator).await), (status, 2), "{body}: {}", refused.text);
    }
    let done = post(&visits, item, &format!("act=drop&sure=yes&token={token}")).await;
    assert_eq!((done.status, done.header("location")), (303, "/quarantine?done=dropped"));
    assert_eq!(kept(&operator).await, 1);
    assert!(visits.page("/quarantine?done=dropped").await.text.contains("The item was dropped."));
    assert!(!visits.page("/quarantine?done=%3Cb%3Ehacked").await.text.contains("hacked"));
    assert_eq!(post(&visits, item, &format!("act=drop&sure=yes&token={token}")).await.status, 404, "it is gone");
}

/// The pages allow what the calls of `/admin/v1` allow.
#[actix_web::test]
async fn forms_need_roles_of_calls() {
    let operator = OperatorFixture::start();
    operator.core.commit(vec![parked("no", br#"{"pdu_id":"p1"}"#)]).await;
    let (item, peer) = ("/quarantine/blue.example/in:1", "/peers/blue.example");
    for (role, may_operate) in [(OperatorRole::Read, false), (OperatorRole::Operate, true)] {
        let visits = DashboardVisits::with_role(&operator, role, "sesame");
        let status = |visit: VisitedPage| visit.status;
        let read = async |path: &str| status(visits.ask(Method::GET, path, &[TOKEN], "").await);
        let told = |allowed: u16| if may_operate { allowed } else { 403 };
        assert_eq!([read("/quarantine").await, read(peer).await], [200, 200], "{role}");
        assert_eq!([read(item).await, read("/quarantine/events").await], [told(200); 2], "{role}: texts of messages");
        let token = visits.page(peer).await.form_token();
        assert_eq!(status(post(&visits, peer, &format!("act=retry&token={token}")).await), told(303), "{role}");
        assert_eq!(status(post(&visits, item, &format!("act=release&token={token}")).await), told(422), "{role}");
        let drop = post(&visits, item, &format!("act=drop&sure=yes&token={token}")).await;
        assert_eq!((drop.status, kept(&operator).await), (403, 1), "{role}");
        assert!(drop.text.contains("administer"), "{}", drop.text);
    }
}

#[actix_web::test]
async fn forms_suspend_and_resume_peers() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    let token = visits.page("/peers/blue.example").await.form_token();
    for (act, state) in [("suspend", "suspended"), ("resume", "idle"), ("retry", "idle")] {
        let done = post(&visits, "/peers/blue.example", &format!("act={act}&token={token}")).await;
        assert_eq!((done.status, done.header("location")), (303, "/peers/blue.example"), "{}", done.text);
        assert_eq!(operator.get("/peers/blue.example").await["state"], state, "{act}");
    }
    assert_eq!(post(&visits, "/peers/blue.example", &format!("act=burn&token={token}")).await.status, 400);
    assert_eq!(post(&visits, "/peers/nobody", &format!("act=retry&token={token}")).await.status, 404);
}

#[actix_web::test]
async fn session_and_its_forms_belong_together() {
    let operator = OperatorFixture::start();
    let visits = DashboardVisits::of(&operator, Some("sesame"));
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = visits.ask(Method::POST, "/login", &[], "credential=sesame").await;
        let cookie = answer.header("set-cookie").split(';').next().expect("a pair").to_owned();
        let page = visits.ask(Method::GET, "/peers/blue.example", &[("cookie", &cookie)], "").await;
        tokens.push((cookie, page.form_token()));
    }
    let act = async |cookie: &str, token: &str| {
        let body = format!("act=retry&token={token}");
        visits.ask(Method::POST, "/peers/blue.example", &[("cookie", cookie)], &body).await.status
    };
    assert_eq!(act(&tokens[0].0, &tokens[1].1).await, 403, "the token of another session");
    assert_eq!(act(&tokens[0].0, &tokens[0].1).await, 303);
}
