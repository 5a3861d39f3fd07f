//! A headless Chromium, driven through WebDriver: the few calls that the tests need, as JSON over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any successful step takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Arguments of the browser: no network but loopback, and nothing in the background.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--window-size=1280,800",
];

/// Returns whether Chromium and its driver are installed. They are no build tools, so they may be absent: the test then says so
/// and ends. `FERNPOST_TEST_TOOLS=all`, which CI sets, makes it fail instead.
pub(super) fn has_browser() -> bool {
    let is_there = ["chromium", "chromedriver"].into_iter().all(|program| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    });
    let must_be = std::env::var("FERNPOST_TEST_TOOLS").is_ok_and(|tools| tools == "all");
    assert!(is_there || !must_be, "chromium is not installed; apt-get install chromium chromium-driver");
    if !is_there {
        eprintln!("not tested, because chromium is not installed (apt-get install chromium chromium-driver)");
    }
    is_there
}

/// A browser; it is closed when this is dropped.
pub(super) struct HeadlessBrowser {
    driver: Child,
    port: u16,
    session: String,
    client: Client,
    _profile: TempDir,
}

/// A page in a window of its own.
#[derive(Debug, Clone)]
pub(super) struct BrowserWindow(String);

/// Number of times that the driver is started. It takes a free port of IPv4 and then needs the same one of IPv6; it ends if a test beside
/// this one has that.
const DRIVER_STARTS: usize = 50;

/// Number of times that the browser is started. The driver ends a start after a minute, and a busy machine may need longer for one.
const BROWSER_STARTS: usize = 3;

/// Starts the driver; returns it with its port, or nothing if it ended.
fn start_driver() -> Option<(Child, u16)> {
    let mut driver = Command::new("chromedriver");
    let driver = driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = driver.spawn().expect("chromedriver is installed");
    let mut says = BufReader::new(driver.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let started = says.find_map(|line| Some(line.split_once("successfully on port ")?.1.to_owned()));
    let Some(port) = started.and_then(|port| port.trim_end_matches('.').parse().ok()) else {
        driver.wait().expect("a child of ours");
        return None;
    };
    // The pipe is read to its end, so that the driver never waits for a reader.
    std::thread::spawn(move || says.for_each(drop));
    Some((driver, port))
}

impl HeadlessBrowser {
    /// Starts the driver and a browser with an empty profile.
    pub(super) async fn start() -> Self {
        let (driver, port) =
            (0..DRIVER_STARTS).find_map(|_| start_driver()).expect("chromedriver starts and says its port");
        let client = Client::builder().no_proxy().timeout(2 * PATIENCE).build().expect("a client");
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Self { driver, port, session: String::new(), client, _profile: profile };
        for _ in 1..BROWSER_STARTS {
            match browser.begin_session().await {
                Ok(session) => {
                    browser.session = session;
                    return browser;
                }
                Err(words) => eprintln!("chromium is started again: {words}"),
            }
            browser._profile = tempfile::tempdir().expect("a folder");
        }
        browser.session =
            browser.begin_session().await.unwrap_or_else(|words| panic!("chromium does not start: {words}"));
        browser
    }

    /// Starts a browser; returns the path of its session, or the driver's words.
    async fn begin_session(&self) -> Result<String, String> {
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", self._profile.path().display()));
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"script": PATIENCE.as_millis()},
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session = self.asked(Method::POST, "/session", wanted).await?;
        Ok(format!("/session/{}", session["sessionId"].as_str().expect("an id")))
    }

    /// Calls the driver; returns its value, or the words of its refusal.
    async fn asked(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request =
            self.client.request(method, url).header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await.expect("the driver answers");
        let is_fine = answer.status().is_success();
        let mut answer: Value = serde_json::from_slice(&answer.bytes().await.expect("whole")).expect("JSON");
        if is_fine { Ok(answer["value"].take()) } else { Err(answer["value"]["message"].to_string()) }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        self.asked(method, path, body).await.unwrap_or_else(|words| panic!("{path}: {words}"))
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("{}{path}", self.session), body).await
    }

    /// Opens a page in a new window.
    pub(super) async fn open(&self, url: &str) -> BrowserWindow {
        let window = self.post("/window/new", json!({"type": "window"})).await;
        let window = BrowserWindow(window["handle"].as_str().expect("a handle").to_owned());
        self.switch(&window).await;
        self.post("/url", json!({ "url": url })).await;
        window
    }

    async fn switch(&self, BrowserWindow(handle): &BrowserWindow) {
        self.post("/window", json!({ "handle": handle })).await;
    }

    /// Waits until an expression in a window is true, and returns its value.
    pub(super) async fn until(&self, window: &BrowserWindow, expression: &str) -> Value {
        self.switch(window).await;
        let script = format!(
            "const done = arguments[0]; const end = Date.now() + {};
             const look = () => {{
               let value = null;
               try {{ value = {expression}; }} catch {{ /* not there yet */ }}
               if (value || Date.now() > end) done(value || {{ failed: document.body.innerText }});
               else setTimeout(look, 25);
             }};
             look();",
            PATIENCE.as_millis() - 1_000
        );
        let value = self.post("/execute/async", json!({"script": script, "args": []})).await;
        assert!(value.get("failed").is_none(), "never true: {expression}\n{}", value["failed"].as_str().unwrap_or("?"));
        value
    }

    /// Returns the value of an expression in a window.
    pub(super) async fn value(&self, window: &BrowserWindow, expression: &str) -> Value {
        self.switch(window).await;
        self.post("/execute/sync", json!({"script": format!("return {expression};"), "args": []})).await
    }

    async fn element(&self, window: &BrowserWindow, selector: &str) -> String {
        self.switch(window).await;
        let found = self.post("/element", json!({"using": "css selector", "value": selector})).await;
        let ids = found.as_object().expect("a reference");
        ids.values().next().and_then(Value::as_str).expect("an id").to_owned()
    }

    /// Clicks an element as a mouse does.
    pub(super) async fn click(&self, window: &BrowserWindow, selector: &str) {
        let element = self.element(window, selector).await;
        self.post(&format!("/element/{element}/click"), json!({})).await;
    }

    /// Types keys into an element. `\u{e007}` is Enter.
    pub(super) async fn type_keys(&self, window: &BrowserWindow, selector: &str, keys: &str) {
        let element = self.element(window, selector).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": keys })).await;
    }

    /// Calls a command of the browser's own protocol for a window, and returns its answer.
    pub(super) async fn command(&self, window: &BrowserWindow, command: &str, parameters: Value) -> Value {
        self.switch(window).await;
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Opens a page in a window that is there.
    pub(super) async fn go(&self, window: &BrowserWindow, url: &str) {
        self.switch(window).await;
        self.post("/url", json!({ "url": url })).await;
    }

    /// Returns what the console of a window shows since the last call: errors, and refusals of the policy.
    pub(super) async fn console(&self, window: &BrowserWindow) -> Vec<String> {
        self.switch(window).await;
        let lines = self.post("/se/log", json!({"type": "browser"})).await;
        lines.as_array().expect("a list").iter().map(|line| line["message"].to_string()).collect()
    }
}

impl Drop for HeadlessBrowser {
    fn drop(&mut self) {
        // The driver closes the browser when the session ends; a test that fails must not leave it behind. What fails here has
        // ended already.
        if let (false, Ok(mut socket)) = (self.session.is_empty(), TcpStream::connect(("127.0.0.1", self.port))) {
            let request = format!("DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
            let _ = socket.set_read_timeout(Some(PATIENCE));
            let _ = socket.write_all(request.as_bytes());
            let _ = socket.read(&mut [0; 64]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
