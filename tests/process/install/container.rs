//! The image and the example of three containers, as far as they can be examined without an engine; `scripts/image.py` runs the steps.

use std::process::Command;

use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::fernpost;
use crate::fixtures::tools::repository_file;

fn read(path: &str) -> String {
    std::fs::read_to_string(repository_file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn image_has_user_and_health_check() {
    let text = read("Containerfile");
    let last_stage = text.rsplit("\nFROM ").next().expect("a stage");
    assert_eq!(text.matches("\nFROM ").count(), 2, "one stage builds, the other one runs");
    for line in [
        "USER 9880:9880",
        "VOLUME /var/lib/fernpost",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"fernpost\"]",
        "CMD [\"serve\"]",
    ] {
        assert!(last_stage.lines().any(|one| one == line), "{line}");
    }
    let check = last_stage.lines().find(|line| line.starts_with("HEALTHCHECK")).expect("a health check");
    assert!(check.ends_with("CMD [\"fernpost\", \"health\"]"), "{check}");
}

/// A small image has no root certificates, and a plain listener needs none.
#[tokio::test]
async fn commands_need_no_root_certificates() {
    let mut red = GatewayProcess::new("red");
    red.start().await;
    let mut command = fernpost();
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    let (code, said, why) = run(command.args(["health", "--config"]).arg(red.configured()));
    assert_eq!((code, said.as_str(), why.as_str()), (Some(0), "ok\n", ""));
}

#[tokio::test]
async fn health_tells_ready_from_silent() {
    let mut red = GatewayProcess::new("red");
    let health = |red: &GatewayProcess, more: &[&str]| {
        let mut command = fernpost();
        run(command.args(["health", "--config"]).arg(red.configured()).args(more))
    };
    let (code, said, why) = health(&red, &[]);
    assert_eq!((code, said.as_str()), (Some(2), ""), "nobody answers: {why}");
    red.start().await;
    assert_eq!(health(&red, &[]), (Some(0), "ok\n".to_owned(), String::new()));
    assert_eq!(health(&red, &["--live", "--json"]).1, "{\"status\":\"ok\"}\n");
    red.kill();
    // More free space than any disk has.
    red.start_unready(&["store.min_free=1000TiB"]).await;
    let (code, said, why) = health(&red, &[]);
    assert_eq!((code, why.as_str()), (Some(1), ""), "{said}");
    assert!(said.starts_with("unready\n  disk: "), "{said}");
    assert_eq!(health(&red, &["--live"]).0, Some(0), "it runs all the same");
}

/// Returns the names of the services of the compose file, each with its lines.
fn services() -> Vec<(String, String)> {
    let text = read("config/container/compose.yaml");
    let (_, services) = text.split_once("\nservices:\n").expect("services");
    let (services, _) = services.split_once("\nnetworks:").expect("networks");
    let mut found: Vec<(String, String)> = Vec::new();
    for line in services.lines() {
        match line.strip_prefix("  ").filter(|line| !line.starts_with(' ')) {
            Some(name) => found.push((name.trim_end_matches(':').to_owned(), String::new())),
            None => found.last_mut().expect("a service").1 += &format!("{line}\n"),
        }
    }
    found
}

#[test]
fn containers_know_each_other() {
    let between = |text: &str, from: &str, to: &str| {
        let rest = text.split_once(from).unwrap_or_else(|| panic!("{from}: {text}")).1;
        rest.split_once(to).expect("its end").0.to_owned()
    };
    let services = services();
    assert_eq!(services.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["red", "blue", "green"]);
    let data = tempfile::tempdir().expect("a folder");
    for (name, lines) in &services {
        let path = format!("config/container/{name}.toml");
        assert!(lines.contains(&format!("./{name}.toml:/etc/fernpost/fernpost.toml:ro")), "{lines}");
        let token = between(lines, "FERNPOST__MESSENGER__TOKEN: ", " }");
        let mut check = fernpost();
        check.env("FERNPOST__MESSENGER__TOKEN", token).env("FERNPOST__SERVER__DATA_DIR", data.path().join("data"));
        let (code, said, _) = run(check.args(["check", "config", "--config", &repository_file(&path)]));
        assert!(code == Some(0) && said.contains(&format!("{name}.example with 2 peers")), "{said}");
        let configuration: toml::Table = toml::from_str(&read(&path)).expect("TOML");
        for (other, lines) in services.iter().filter(|(other, _)| other != name) {
            let address = between(lines, "ipv4_address: ", " }");
            let peer = &configuration["peers"]["server"][format!("{other}.example").as_str()];
            assert_eq!(peer["addresses"][0].as_str(), Some(format!("http://{address}:9880").as_str()), "{path}");
            assert_eq!(peer["allow_from"][0].as_str(), Some(format!("{address}/32").as_str()), "{path}");
        }
    }
}
