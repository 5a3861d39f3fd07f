//! Tokens with roles: what each opens, and a rotation without a restart.

use ::fixtures::clients::http_caller::HttpCaller;
use reqwest::Method;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;

/// The tokens of a gateway: one that reads, and one that operates.
const TOKENS: &str = "tokens = [{ name = \"watch\", role = \"read\", token_file = \"watch.token\" }, \
                      { name = \"desk\", role = \"operate\", token_file = \"desk.token\" }]";

/// The same with a second token of the one that operates.
const ROTATED: &str = "tokens = [{ name = \"watch\", role = \"read\", token_file = \"watch.token\" }, \
                       { name = \"desk\", role = \"operate\", token_file = \"desk.token\" }, \
                       { name = \"desk\", role = \"operate\", token_file = \"desk-2.token\" }]";

/// Runs a command with a token; returns its exit code, and what it printed on both streams.
async fn run(gateway: &GatewayProcess, token: &str, words: &[&str]) -> (Option<i32>, String) {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(gateway.configured());
    command.arg("--token-file").arg(gateway.folder().join(token));
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

async fn status_of(gateway: &GatewayProcess, token: Option<&str>) -> u16 {
    let mut caller = HttpCaller::at(gateway.admin);
    if let Some(token) = token {
        caller = caller.authorized(&format!("Bearer {token}"));
    }
    caller.call(Method::GET, "/admin/v1/peers", "").await.expect("an answer").0
}

#[tokio::test]
async fn token_opens_calls_of_role() {
    let (mut red, _blue) = GatewayProcess::pair("");
    red.write_secret("watch.token", "sesame-watch\n");
    red.write_secret("desk.token", "sesame-desk\n");
    red.edit(|text| text.replace("[admin]\n", &format!("[admin]\n{TOKENS}\n")));
    red.start().await;
    assert_eq!(run(&red, "watch.token", &["peer", "list"]).await.0, Some(0));
    let (code, said) = run(&red, "watch.token", &["peer", "suspend", "blue"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the token watch has the role read, and this call needs operate"), "{said}");
    let (code, said) = run(&red, "watch.token", &["peer", "suspend", "blue", "--json"]).await;
    assert!(code == Some(2) && said.contains(r#""code":"NEEDS_OPERATE""#), "{said}");
    assert_eq!(run(&red, "desk.token", &["peer", "suspend", "blue"]).await.0, Some(0));
    let (code, said) = run(&red, "desk.token", &["reload", "--json"]).await;
    assert!(code == Some(2) && said.contains(r#""code":"NEEDS_ADMINISTER""#), "{said}");
    let line = red.process().says("action=\"peer.suspend\"").await;
    assert!(line.contains("(desk)"), "the log names the token: {line}");
    let (_, shown) = run_alone(&red, &["config", "show"]).await;
    let log = red.process().log();
    assert!(!log.contains("sesame") && !shown.contains("sesame"), "{log}{shown}");
}

/// Runs a command that needs no gateway.
async fn run_alone(gateway: &GatewayProcess, words: &[&str]) -> (Option<i32>, String) {
    let mut command = fernpost();
    command.args(words).arg("--config").arg(gateway.configured());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary starts"));
    let output = output.await.expect("it ran");
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn rotation_needs_no_restart() {
    let mut red = GatewayProcess::new("red");
    red.write_secret("watch.token", "sesame-watch\n");
    red.write_secret("desk.token", "sesame-desk\n");
    red.write_secret("desk-2.token", "sesame-desk-2\n");
    red.edit(|text| text.replace("[admin]\n", &format!("[admin]\n{TOKENS}\n")));
    red.start().await;
    assert_eq!([status_of(&red, Some("sesame-desk")).await, status_of(&red, Some("sesame-desk-2")).await], [200, 401]);
    red.edit(|text| text.replace(TOKENS, ROTATED));
    red.configured();
    red.process().signal("HUP");
    let line = red.process().says("configuration reloaded").await;
    assert!(line.contains("admin.tokens") && !line.contains("sesame"), "{line}");
    assert_eq!([status_of(&red, Some("sesame-desk")).await, status_of(&red, Some("sesame-desk-2")).await], [200, 200]);

    // The file of the old token now has the new one, and the second entry goes.
    red.write_secret("desk.token", "sesame-desk-2\n");
    red.edit(|text| text.replace(ROTATED, TOKENS));
    red.configured();
    red.process().signal("HUP");
    let refused = async {
        while status_of(&red, Some("sesame-desk")).await != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    crate::fixtures::process::soon("the end of the old token", refused).await;
    assert_eq!(status_of(&red, Some("sesame-desk-2")).await, 200);

    // Without any token the listener stays closed.
    red.edit(|text| text.replace(TOKENS, "tokens = []"));
    red.configured();
    red.process().signal("HUP");
    let closed = async {
        while status_of(&red, Some("sesame-desk-2")).await != 401 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    crate::fixtures::process::soon("the end of all tokens", closed).await;
    assert_eq!(status_of(&red, None).await, 401);
}
