//! Push mode in the configuration.

use std::path::Path;

use super::*;

fn push(text: &str) -> PushSettings {
    good(text).messenger.push.expect("push mode is on")
}

#[test]
fn push_is_on_by_its_url() {
    assert_eq!(good("").messenger.push, None);
    assert_eq!(good("messenger.push.timeout = \"1s\"").messenger.push, None);
    let inline = push("messenger.push = { url = \"http://127.0.0.1:7000/fernpost\", secret = \"a\\nb\" }");
    assert_eq!(inline.target.to_string(), "http://127.0.0.1:7000/fernpost");
    assert_eq!((inline.secrets.len(), inline.batch_items, inline.batch_bytes), (2, 1_000, 4 << 20));
    let socket = push("[messenger.push]\nurl = \"unix:m.sock:/in\"\nca = \"ca.pem\"\n");
    assert_eq!(socket.target.route, PushRoute::Unix("/etc/fernpost/m.sock".into()), "beside the configuration");
    assert_eq!(socket.ca.as_deref(), Some(Path::new("/etc/fernpost/ca.pem")));
}

#[test]
fn push_secret_comes_from_one_place() {
    let folder = folder(&[(
        "red.toml",
        "server.name = \"red\"\nmessenger.push.url = \"http://[::1]:1\"\nmessenger.push.secret_file = \"s\"\n",
    )]);
    assert!(lines(load_in(&folder))[0].contains("/s cannot be read"));
    std::fs::write(folder.path().join("s"), "new\nold\n").expect("written");
    let settings = load_in(&folder).unwrap_or_else(|problems| panic!("{problems}"));
    let run = Sources { to_run: true, ..Sources::file(folder.path().join("red.toml")) };
    let open = Settings::load(&run).expect_err("others can read it");
    assert!(open.is_open_secrets() && open.to_string().contains("`messenger.push.secret_file`"), "{open}");
    let secrets = settings.messenger.push.expect("on").secrets;
    assert_eq!(
        secrets.iter().map(|secret| secret.expose().to_vec()).collect::<Vec<_>>(),
        [b"new".to_vec(), b"old".to_vec()]
    );
    for (file, why) in [("", "it is empty"), ("a\nb\nc\n", "at most two secrets"), ("whsec_sesame!", "is no base64")] {
        std::fs::write(folder.path().join("s"), file).expect("written");
        let problem = &lines(load_in(&folder))[0];
        assert!(problem.contains("messenger.push.secret_file") && problem.contains(why), "{problem}");
        assert!(!problem.contains("sesame"), "{problem}");
    }
    let both = wrong("messenger.push = { url = \"http://[::1]:1\", secret = \"x\", secret_file = \"y\" }");
    assert!(both[0].contains("keep one of them"), "{both:?}");
}

#[test]
fn push_beyond_loopback_needs_protection() {
    let plain = "messenger.push = { secret = \"x\", url = \"http://192.0.2.1/in\" }";
    assert!(wrong(plain)[0].contains("by plain HTTP; use https"), "{:?}", wrong(plain));
    let notes = good(&plain.replace("secret", "insecure = true, secret")).notes;
    assert!(notes.iter().any(|note| note.contains("is reached by plain HTTP beyond this machine")), "{notes:?}");
    let safe = good(&plain.replace("http://", "https://")).notes;
    assert!(!safe.iter().any(|note| note.contains("push")), "{safe:?}");
    let open = good("messenger.push.url = \"http://localhost:1\"").notes;
    assert!(open.iter().any(|note| note.contains("pushes are not signed")), "{open:?}");
}

#[test]
fn push_limits_must_let_something_through() {
    let problems = wrong(
        "[messenger.push]\nurl = \"http://localhost?x\"\nbatch_items = 0\npoison_after = 0\ntimeout = \"0s\"\nbackoff_max = \"1ms\"\n",
    );
    for (problem, key) in problems.iter().zip(["batch_items", "poison_after", "timeout", "backoff_max", "url"]) {
        assert!(problem.starts_with(&format!("`messenger.push.{key}`")), "{problem}");
    }
    assert_eq!(problems.len(), 5, "{problems:?}");
}
