//! `fernpost check clock`, `store` and `messenger`, and all checks at once.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use ::fixtures::receivers::push_receiver::{MessengerReply, PushReceiver};

use crate::fixtures::checks::Checked;
use crate::fixtures::node::GatewayProcess;

/// A server that answers each connection once, by a clock that is this much ahead. It ends with the test's process.
#[expect(clippy::disallowed_methods, reason = "the commands of this test are processes, whose clock is the system's")]
fn server_ahead_by(ahead: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]);
            let date = httpdate::fmt_http_date(SystemTime::now() + ahead);
            let answer =
                format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn check_clock_compares_with_each_peer() {
    let mut red = GatewayProcess::new("red");
    let peers = [("right", 0), ("early", 60), ("wrong", 400)];
    for (name, ahead) in peers {
        let address = server_ahead_by(Duration::from_secs(ahead));
        red.peer(name, &format!("addresses = [\"http://{address}\"]\nallow_from = [\"127.0.0.1/32\"]\n"));
    }
    red.peer("gone", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]\n");
    let checked = Checked::run(&red, &["clock"], &[]).await;
    let found = ["right", "early", "wrong", "gone"].map(|name| checked.about(name).concat());
    assert_eq!(found, ["info", "warning CLOCK_SKEW", "error CLOCK_SKEW", "info"], "{}", checked.words);
    assert!(
        checked.words.contains("error: clock wrong: its clock is ") && checked.words.contains("\n  set both clocks")
    );
    // `explain` says the same in its own step.
    let warned = Checked::run(&red, &["clock"], &["peers.server.wrong.addresses=[\"http://127.0.0.1:1\"]"]).await;
    assert_eq!((warned.exit, warned.about("early").concat().as_str()), (0, "warning CLOCK_SKEW"));
}

#[tokio::test]
async fn check_store_says_who_uses_it() {
    let mut red = GatewayProcess::new("red");
    let checked = Checked::run(&red, &["store"], &[]).await;
    assert_eq!((checked.exit, checked.about("data").concat().as_str()), (0, "warning"), "{}", checked.words);
    red.start().await;
    let checked = Checked::run(&red, &["store"], &[]).await;
    assert!(
        checked.exit == 0 && checked.words.contains("a running gateway uses it: schema version "),
        "{}",
        checked.words
    );
    let elsewhere = Checked::run(&red, &["store"], &["admin.listen=127.0.0.1:1"]).await;
    assert_eq!((elsewhere.exit, elsewhere.about("fernpost.redb")), (1, vec!["error IN_USE".to_owned()]));
    red.kill();
    let checked = Checked::run(&red, &["store"], &[]).await;
    assert!(checked.words.contains("it can be opened: schema version "), "{}", checked.words);
    assert_eq!(checked.about("fernpost.redb"), ["info"]);
    let clock = Checked::run(&red, &["clock"], &[]).await;
    assert_eq!(clock.about("fernpost.redb"), ["info"], "{}", clock.words);

    let foreign = Checked::run(&red, &["store"], &["server.name=blue"]).await;
    assert_eq!((foreign.exit, foreign.about("fernpost.redb")), (1, vec!["error OTHER_SERVER".to_owned()]));
    let full = Checked::run(&red, &["store"], &["store.min_free=900PiB"]).await;
    assert_eq!((full.exit, full.about("data")[0].as_str()), (1, "error DISK_FULL"), "{}", full.words);
    let data = red.folder().join("data");
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).expect("it is ours");
    let open = Checked::run(&red, &["store"], &[]).await;
    assert_eq!((open.exit, open.about("data")[0].as_str()), (0, "warning OPEN_MODE"));
    assert!(open.words.contains(&format!("\n  chmod 700 {}\n", data.display())), "{}", open.words);
    std::fs::write(red.store(), "no store").expect("it is ours");
    let damaged = Checked::run(&red, &["store"], &[]).await;
    assert_eq!(
        (damaged.exit, damaged.about("fernpost.redb")),
        (1, vec!["error STORE".to_owned()]),
        "{}",
        damaged.words
    );
    std::fs::remove_file(red.store()).expect("it is ours");
    let missing = Checked::run(&red, &["store"], &[]).await;
    assert_eq!((missing.exit, missing.about("fernpost.redb")), (1, vec!["error STORE_MISSING".to_owned()]));
}

#[tokio::test]
async fn check_messenger_knows_who_listens() {
    let mut red = GatewayProcess::new("red");
    red.write_secret("token", "sesame\n");
    let token = "messenger.token_file=token";
    let free = Checked::run(&red, &["messenger"], &[token]).await;
    assert_eq!((free.exit, free.about("listen").concat().as_str()), (0, "info"), "{}", free.words);
    assert!(free.words.contains("nothing listens there, and a gateway can") && free.words.contains("pull only"));
    red.start_with(&[token]).await;
    let served = Checked::run(&red, &["messenger"], &[token]).await;
    assert!(
        served.exit == 0 && served.words.contains("a gateway answers there, and accepts the token"),
        "{}",
        served.words
    );
    let without = Checked::run(&red, &["messenger"], &[]).await;
    assert_eq!((without.exit, without.about("listen").concat().as_str()), (1, "error WRONG_TOKEN"));
    assert_eq!(without.about("messenger.token"), ["warning NO_TOKEN"]);
    let elsewhere = Checked::run(
        &red,
        &["messenger"],
        &["messenger.listen=203.0.113.1:1", "messenger.token=x", "messenger.insecure=true"],
    )
    .await;
    assert_eq!((elsewhere.exit, elsewhere.about("listen").concat().as_str()), (1, "error CANNOT_LISTEN"));
    let file = Checked::run(&red, &["messenger"], &["messenger.listen=unix:token"]).await;
    assert_eq!((file.exit, file.about("listen").concat().as_str()), (1, "error CANNOT_LISTEN"), "{}", file.words);
    let deaf = Checked::run(&red, &["messenger"], &[token, "messenger.push.url=http://127.0.0.1:1"]).await;
    assert_eq!((deaf.exit, deaf.about("push.url").concat().as_str()), (1, "error PUSH_UNREACHABLE"), "{}", deaf.words);
    let other = server_ahead_by(Duration::ZERO);
    let other = Checked::run(&red, &["messenger"], &[&format!("messenger.listen={other}")]).await;
    assert_eq!((other.exit, other.about("listen").concat().as_str()), (1, "error OTHER_LISTENER"), "{}", other.words);
}

/// The messenger is asked as at a start of the gateway; its refusal is a warning, because events are pushed all the same.
#[tokio::test]
async fn check_messenger_asks_for_ping() {
    let red = GatewayProcess::new("red");
    let replies = [MessengerReply::status(204), MessengerReply::status(401), MessengerReply::Silent];
    // A check runs twice: in words and as JSON.
    let mut replies = replies.into_iter().flat_map(|reply| [reply.clone(), reply]);
    let mut messenger = PushReceiver::answering(move |_| replies.next().expect("two calls of each check"));
    let url = format!("messenger.push.url=http://{}/hook", messenger.listen().await);
    let check = async || Checked::run(&red, &["messenger"], &[&url, "messenger.push.timeout=1s"]).await;
    let found = async || {
        let checked = check().await;
        (checked.exit, checked.about("push.url").concat(), checked.words)
    };
    let (exit, level, words) = found().await;
    assert_eq!((exit, level.as_str()), (0, "info"), "{words}");
    for reason in ["status 401", "no answer within messenger.push.timeout"] {
        let (exit, level, words) = found().await;
        assert_eq!((exit, level.as_str()), (0, "warning PUSH_PING_FAILED"), "{words}");
        assert!(words.contains(reason), "{words}");
    }
    let calls = messenger.until("two calls of each check", |calls| calls.len() >= 6).await;
    assert!(calls.len() == 6 && calls.iter().all(|call| call.target == "GET /hook/ping"), "{calls:?}");
}

#[tokio::test]
async fn check_alone_runs_all() {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start().await;
    blue.start().await;
    let checked = Checked::run(&red, &[], &[]).await;
    let all = ["config", "keys", "tls", "dns", "clock", "store", "peers", "messenger"];
    assert_eq!((checked.exit, checked.kinds()), (0, all.to_vec()), "{}", checked.words);
    blue.kill();
    let alone = Checked::run(&red, &[], &[]).await;
    assert_eq!((alone.exit, alone.kinds()), (1, all.to_vec()), "peers are not reached: {}", alone.words);
}
