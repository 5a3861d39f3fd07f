//! The metrics as Prometheus reads them: the text, the alert rules, and a scrape.
//!
//! Prometheus is no build tool, so it may be absent: the tests then say so and end. `FERNPOST_TEST_TOOLS=all`, which CI sets, makes
//! them fail instead.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::soon;
use crate::fixtures::raw::Raw;
use crate::fixtures::tools::{is_installed, repository_file};

/// Interval of questions to Prometheus.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

fn has_prometheus() -> bool {
    is_installed("promtool", "prometheus")
}

/// Runs `promtool` with this input; its output is in the failure.
fn promtool(arguments: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it is installed");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}

async fn text(address: SocketAddr, path: &str) -> String {
    let client = Client::builder().no_proxy().build().expect("a client");
    match client.get(format!("http://{address}{path}")).send().await {
        Ok(answer) => answer.text().await.expect("text"),
        Err(_) => String::new(),
    }
}

/// Returns two gateways, of which the first has sent to the second.
async fn used_gateways() -> (GatewayProcess, GatewayProcess) {
    let (mut red, mut blue) = GatewayProcess::pair("");
    red.start_with(&["log.deliveries=file"]).await;
    blue.start().await;
    red.api().say("m-1", "blue", "one").await;
    let ends = [
        "fernpost_outbound_items_total{result=\"delivered\"} 1",
        "fernpost_peer_state{peer=\"blue\",state=\"idle\"} 1",
    ];
    let acknowledged = async {
        loop {
            let metrics = text(red.admin, "/metrics").await;
            if ends.iter().all(|end| metrics.contains(end)) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    soon("the acknowledgement", acknowledged).await;
    (red, blue)
}

#[tokio::test]
async fn promtool_accepts_metrics() {
    if !has_prometheus() {
        return;
    }
    let (red, blue) = used_gateways().await;
    let stranger = Raw::connect(own_address(), red.federation).await;
    let push = b"POST /http/v1/updates HTTP/1.1\r\nHost: red\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(stranger.exchange(push).await.0, 401);
    let metrics = text(red.admin, "/metrics").await;
    promtool(&["check", "metrics"], &metrics);
    for line in [
        "fernpost_peer_state{peer=\"blue\",state=\"idle\"} 1",
        "fernpost_peer_backlog_items{peer=\"blue\"} 0",
        "fernpost_acknowledgement_seconds_count 1",
        "fernpost_request_seconds_count 1",
        "fernpost_attempts_total{result=\"acknowledged\"} 1",
        "fernpost_delivery_records_lost_total 0",
        "fernpost_refused_callers_total{status=\"401\"} 1",
        "fernpost_refused_callers_total{status=\"403\"} 0",
        "fernpost_quarantine_items 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}:\n{metrics}");
    }
    let positive = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
        assert!(value.parse::<f64>().expect("a number") > 0.0, "{name} {value}");
    };
    for name in ["resident_memory_bytes", "threads", "open_fds", "max_fds", "start_time_seconds", "cpu_seconds_total"] {
        positive(&format!("fernpost_process_{name}"));
    }
    for name in ["fernpost_store_file_bytes", "fernpost_store_commits_total", "fernpost_disk_free_bytes"] {
        positive(name);
    }
    let taken = text(blue.admin, "/metrics").await;
    for line in ["fernpost_inbound_items_total{result=\"accepted\"} 1", "fernpost_feed_seconds_count 1"] {
        assert!(taken.lines().any(|other| other == line), "{line}:\n{taken}");
    }
}

#[test]
fn alert_rules_pass_their_tests() {
    if has_prometheus() {
        promtool(&["check", "rules", &repository_file("config/prometheus/alerts.yml")], "");
        promtool(&["test", "rules", &repository_file("config/prometheus/alerts.test.yml")], "");
    }
}

/// A Prometheus that scrapes a gateway; it is killed when this is dropped.
struct RunningPrometheus {
    process: Child,
    address: SocketAddr,
}

impl Drop for RunningPrometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RunningPrometheus {
    fn scraping(gateway: &GatewayProcess) -> Self {
        let address = TcpListener::bind((own_address(), 0)).expect("a port").local_addr().expect("bound");
        let folder = gateway.folder().join("prometheus");
        std::fs::create_dir_all(&folder).expect("a folder");
        let configuration = format!(
            "global: {{ scrape_interval: 200ms, evaluation_interval: 200ms }}\nrule_files: [\"{}\"]\nscrape_configs:\n  \
             - job_name: fernpost\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
            repository_file("config/prometheus/alerts.yml"),
            gateway.admin
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, configuration).expect("written");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { process: process.expect("it is installed"), address }
    }

    /// Waits until a query has a result, and returns its first value.
    async fn value(&self, query: &str) -> String {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
        let found = async {
            loop {
                let answer = text(self.address, &format!("/api/v1/query?query={query}")).await;
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                if let Some(value) = answer["data"]["result"][0]["value"][1].as_str() {
                    return value.to_owned();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon(&query, found).await
    }
}

#[tokio::test]
async fn prometheus_scrapes_gateway() {
    if !is_installed("prometheus", "prometheus") {
        return;
    }
    let (red, _blue) = used_gateways().await;
    let prometheus = RunningPrometheus::scraping(&red);
    assert_eq!(prometheus.value("up{job=\"fernpost\"}").await, "1");
    assert_eq!(prometheus.value("fernpost_outbound_items_total{result=\"delivered\"}").await, "1");
    assert_eq!(prometheus.value("fernpost_peer_state{peer=\"blue\",state=\"idle\"}").await, "1");
    let rules = text(prometheus.address, "/api/v1/rules").await;
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("a list").clone();
    assert!(rules.len() == 12 && rules.iter().all(|rule| rule["state"] == "inactive"), "{rules:#?}");
}
