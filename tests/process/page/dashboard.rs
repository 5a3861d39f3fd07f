//! The dashboard of a gateway with a peer that is down, in light, in dark and on a phone.

use std::path::PathBuf;
use std::time::Duration;

use ::fixtures::clients::http_caller::HttpCaller;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::page::browser::{BrowserWindow, HeadlessBrowser, has_browser};

/// Interval of looks at a page and at the gateway.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The operator's token.
const TOKEN: &str = "sesame-of-the-operator";

const CONTEXT: &str = "#garden";

/// Starts red with a context of three servers, of which green is never there, and with an item in quarantine.
async fn scene() -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = GatewayProcess::pair("backoff_min = \"200ms\"\nbackoff_max = \"300s\"");
    for gateway in [&mut red, &mut blue] {
        gateway.peer(
            "green",
            "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.9.9.9/32\"]\nbackoff_min = \"200s\"",
        );
    }
    red.write_secret("admin.token", TOKEN);
    red.edit(|text| text.replace("[admin]\n", "[admin]\ntoken_file = \"admin.token\"\n"));
    red.start().await;
    blue.start().await;
    for gateway in [&red, &blue] {
        gateway.api().set_participants(CONTEXT, &["red", "blue", "green"]).await;
    }
    let (ours, theirs) = (red.api(), blue.api());
    for round in 0..8 {
        ours.say_in(CONTEXT, &format!("m-{round}"), "who waters <b>them</b>?").await;
        theirs.say_in(CONTEXT, &format!("n-{round}"), "I do").await;
    }
    ours.until_state("m-7", "blue", "acknowledged").await;
    theirs.until_state("n-7", "red", "acknowledged").await;
    // Blue begins a context in which it does not take part here.
    red.api().set_participants("#closed", &["red", "green"]).await;
    blue.api().set_participants("#closed", &["red", "blue"]).await;
    blue.api().say_in("#closed", "c-1", "<script>alert(1)</script>").await;
    let admin = HttpCaller::at(red.admin).authorized(&format!("Bearer {TOKEN}"));
    let parked = async {
        while admin.get("/admin/v1/quarantine").await["items"].as_array().is_none_or(Vec::is_empty) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("an item in quarantine", parked).await;
    admin.call_expecting(200, Method::POST, "/admin/v1/peers/green/suspend", "").await;
    (red, blue)
}

/// Saves a picture of the whole page if `FERNPOST_TEST_SCREENSHOTS` names a folder for it.
async fn keep_picture(browser: &HeadlessBrowser, window: &BrowserWindow, name: &str) {
    let Some(folder) = std::env::var_os("FERNPOST_TEST_SCREENSHOTS").map(PathBuf::from) else { return };
    let asked = json!({"format": "png", "captureBeyondViewport": true});
    let picture = browser.command(window, "Page.captureScreenshot", asked).await;
    let bytes = STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
    std::fs::create_dir_all(&folder).expect("a writable place");
    std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a writable folder");
}

/// Checks that a page is no wider than its window, and that nothing was refused or failed.
async fn fits(browser: &HeadlessBrowser, window: &BrowserWindow, path: &str) {
    let widths = browser.value(window, "[document.documentElement.scrollWidth, innerWidth]").await;
    assert!(widths[0].as_u64() <= widths[1].as_u64(), "{path} is too wide: {widths}");
    let reported = browser.console(window).await;
    assert!(reported.iter().all(|line| is_hint(line)), "{path}: {reported:?}");
}

/// Returns whether a line of the console is advice of the browser, and no error or refusal.
fn is_hint(line: &str) -> bool {
    line.contains("[DOM]")
}

/// Waits until an expression is true. It is asked anew each time, because a script that waits ends with the page that a form leaves.
async fn becomes(browser: &HeadlessBrowser, window: &BrowserWindow, expression: &str) {
    let asked = format!("(() => {{ try {{ return !!({expression}); }} catch {{ return false; }} }})()");
    let happens = async {
        while browser.value(window, &asked).await != true {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon(expression, happens).await;
}

async fn has(browser: &HeadlessBrowser, window: &BrowserWindow, words: &str) {
    becomes(browser, window, &format!("document.body.textContent.includes({})", Value::from(words))).await;
}

#[tokio::test]
async fn dashboard_works_in_a_browser() {
    if !has_browser() {
        return;
    }
    let (red, _blue) = scene().await;
    let browser = HeadlessBrowser::start().await;
    let at = |path: &str| format!("http://{}{path}", red.admin);
    let window = browser.open(&at("/peers")).await;
    becomes(&browser, &window, "location.pathname === '/login'").await;
    keep_picture(&browser, &window, "login").await;
    browser.type_keys(&window, "#credential", "wrong\u{e007}").await;
    has(&browser, &window, "This is not the token of this gateway.").await;
    // The browser itself reports the refused login.
    let reported = browser.console(&window).await;
    assert!(reported.iter().all(|line| line.contains("403") || is_hint(line)), "{reported:?}");
    browser.type_keys(&window, "#credential", &format!("{TOKEN}\u{e007}")).await;
    becomes(&browser, &window, "location.pathname === '/peers'").await;
    assert_eq!(browser.value(&window, "document.cookie").await, "", "scripts do not see the cookie");

    let pages = [
        ("overview", "/", "What is wrong"),
        ("peers", "/peers", "most pending items first"),
        ("peer", "/peers/green", "Limits in force"),
        ("flow", "/flow", "Last day, by ten minutes"),
        ("quarantine", "/quarantine", "NOT_A_PARTICIPANT"),
        ("item", "/quarantine/blue/in:1", "<script>alert(1)</script>"),
        ("contexts", "/contexts", CONTEXT),
        ("context", "/contexts/%23garden", "Messages, newest first"),
        ("trace", "/trace?id=m-7", "nothing is sent to it: admin"),
    ];
    let scheme = |name: &str| json!({"features": [{"name": "prefers-color-scheme", "value": name}]});
    let phone = json!({"width": 390, "height": 780, "deviceScaleFactor": 1, "mobile": true});
    let mut backgrounds = Vec::new();
    for (look, colours, metrics) in [
        ("light", "light", None),
        ("dark", "dark", None),
        ("phone", "light", Some(&phone)),
        ("phone-dark", "dark", Some(&phone)),
    ] {
        browser.command(&window, "Emulation.setEmulatedMedia", scheme(colours)).await;
        if let Some(metrics) = metrics {
            browser.command(&window, "Emulation.setDeviceMetricsOverride", metrics.clone()).await;
        }
        for (name, path, words) in pages {
            browser.go(&window, &at(path)).await;
            has(&browser, &window, words).await;
            fits(&browser, &window, path).await;
            keep_picture(&browser, &window, &format!("{name}-{look}")).await;
        }
        backgrounds.push(browser.value(&window, "getComputedStyle(document.body).backgroundColor").await);
    }
    assert_ne!(backgrounds[0], backgrounds[1], "dark is another scheme");
    browser.command(&window, "Emulation.clearDeviceMetricsOverride", json!({})).await;

    // A node of the graph leads to its trace.
    browser.go(&window, &at("/contexts/%23garden")).await;
    becomes(&browser, &window, "document.querySelectorAll('svg a.node').length >= 16").await;
    browser.click(&window, "main table a").await;
    becomes(&browser, &window, "location.pathname === '/trace'").await;
    has(&browser, &window, "delivered").await;

    // Forms: the browser sends where they come from, and the gateway takes them.
    browser.go(&window, &at("/peers/green")).await;
    browser.click(&window, "button[value=resume]").await;
    becomes(&browser, &window, "!!document.querySelector('button[value=suspend]')").await;
    browser.go(&window, &at("/quarantine/blue/in:1")).await;
    browser.click(&window, "input[name=sure]").await;
    browser.click(&window, "button[value=drop]").await;
    has(&browser, &window, "The item was dropped.").await;
    browser.click(&window, ".leave button").await;
    becomes(&browser, &window, "location.pathname === '/login'").await;
    browser.go(&window, &at("/")).await;
    becomes(&browser, &window, "location.pathname === '/login'").await;
    fits(&browser, &window, "/login").await;
}
