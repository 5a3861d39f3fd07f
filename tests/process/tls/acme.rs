//! Certificates from a real ACME authority: Pebble of Let's Encrypt, with its own test DNS server.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Duration, sleep};
use tokio_rustls::TlsConnector;

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::process::soon;
use crate::fixtures::tools::is_installed;
use crate::requests::silent::client_of;
use crate::tls::authority::{FileAuthority, LeafKind};

/// A running authority; its processes are killed when this is dropped.
struct AcmeAuthority {
    processes: Vec<Child>,
    directory: SocketAddr,
    management: SocketAddr,
    records: SocketAddr,
}

impl Drop for AcmeAuthority {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free(ip: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((ip, 0)).expect("a port").local_addr().expect("bound")
}

impl AcmeAuthority {
    /// Starts an authority that finds every name at this address, and fetches proofs from its port. Certificates are valid for so
    /// many seconds.
    fn start(red: &GatewayProcess, proofs: SocketAddr, validity: u32) -> Option<Self> {
        if !is_installed("pebble", "pebble") {
            return None;
        }
        let folder = red.folder();
        let own = own_address();
        let pair = FileAuthority::new();
        fs::copy(pair.write(folder), folder.join("acme-root.pem")).expect("copied");
        let pair = pair.issue(folder, "pebble", &[&own.to_string()], LeafKind::Usual);
        let (directory, management, records) = (free(own), free(own), free(own));
        let names = UdpSocket::bind((own, 0)).expect("a port").local_addr().expect("bound");
        let settings = serde_json::json!({"pebble": {
            "listenAddress": directory.to_string(), "managementListenAddress": management.to_string(),
            "certificate": pair.cert, "privateKey": pair.key, "httpPort": proofs.port(), "tlsPort": 1,
            "ocspResponderURL": "", "externalAccountBindingRequired": false, "certificateValidityPeriod": validity,
        }});
        let file = folder.join("pebble.json");
        fs::write(&file, settings.to_string()).expect("written");
        let mut dns = Command::new("pebble-challtestsrv");
        dns.args(["-dns01", &names.to_string(), "-management", &records.to_string(), "-defaultIPv6", ""]);
        dns.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", &proofs.ip().to_string()]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(&file).args(["-dnsserver", &names.to_string()]);
        // Pebble pauses and refuses nonces at random, unless it is told not to; refused nonces are kept, because clients meet them.
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let start =
            |mut command: Command| command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        Some(Self { processes: vec![start(dns), start(pebble)], directory, management, records })
    }

    /// Returns the settings of a gateway that orders here.
    fn settings(&self, more: &str) -> String {
        format!(
            "[federation.tls]\ncert = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n[federation.acme]\nagree_terms = true\n\
             directory = \"https://{}/dir\"\nroots = [\"acme-root.pem\"]\nretry_min = \"1s\"\nretry_max = \"2s\"\n{more}\n",
            self.directory
        )
    }

    /// Writes the root of the certificates that it issues, once it runs.
    async fn root(&self, red: &GatewayProcess) -> std::path::PathBuf {
        let client = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().expect("a client");
        let url = format!("https://{}/roots/0", self.management);
        let text = soon("the authority", async {
            loop {
                match client.get(&url).send().await {
                    Ok(answer) => break answer.text().await.expect("a text"),
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            }
        });
        let path = red.folder().join("issued-root.pem");
        fs::write(&path, text.await).expect("written");
        path
    }
}

/// Returns the serial part of the chain that the gateway shows: its leaf, once it is accepted under this root and is not `but`.
async fn shown_leaf(red: &GatewayProcess, root: &std::path::Path, but: &[u8]) -> Vec<u8> {
    let client = TlsConnector::from(Arc::new(client_of(root).with_no_client_auth()));
    soon("a certificate of the authority", async {
        loop {
            let plain = TcpStream::connect(red.federation).await.expect("it listens");
            let name = ServerName::try_from("red.example").expect("a name");
            if let Ok(stream) = client.connect(name, plain).await {
                let leaf = stream.get_ref().1.peer_certificates().expect("a chain")[0].to_vec();
                if leaf != but {
                    break leaf;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test]
async fn certificate_is_issued_and_renewed() {
    let mut red = GatewayProcess::new("red.example");
    let proofs = free(own_address());
    let Some(authority) = AcmeAuthority::start(&red, proofs, 12) else { return };
    let root = authority.root(&red).await;
    let acme = authority.settings(&format!("challenge = \"http-01\"\nhttp_listen = \"{proofs}\""));
    red.edit(|text| format!("{text}{acme}"));
    red.start().await;
    red.process().says("a self-signed certificate was made").await;
    let first = shown_leaf(&red, &root, &[]).await;
    let second = shown_leaf(&red, &root, &first).await;
    assert_ne!(first, second);
    let mode = |file: &str| fs::metadata(red.folder().join(file)).expect("written").permissions().mode() & 0o777;
    assert_eq!([mode("tls/key.pem"), mode("data/acme-account.json")], [0o600, 0o600]);
    let account = fs::read_to_string(red.folder().join("data/acme-account.json")).expect("written");
    let log = red.kill();
    assert!(!log.contains("PRIVATE KEY") && log.matches("a certificate was issued").count() >= 2, "{log}");

    // Another start orders with the same account.
    red.start().await;
    red.process().says("a certificate was issued").await;
    assert_eq!(fs::read_to_string(red.folder().join("data/acme-account.json")).expect("kept"), account);
}

#[tokio::test]
async fn dns_hook_proves_the_name() {
    let mut red = GatewayProcess::new("red.example");
    let Some(authority) = AcmeAuthority::start(&red, free(own_address()), 3600) else { return };
    let root = authority.root(&red).await;
    let hook = red.folder().join("hook");
    let text = format!(
        "#!/bin/sh\nset -e\necho \"$@\" >> {}\nif [ \"$1\" = set ]; then\n\
         curl --fail --silent --noproxy '*' --data \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" http://{records}/set-txt\nelse\n\
         curl --fail --silent --noproxy '*' --data \"{{\\\"host\\\":\\\"$2.\\\"}}\" http://{records}/clear-txt\nfi\n",
        red.folder().join("told").display(),
        records = authority.records,
    );
    fs::write(&hook, text).expect("written");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o700)).expect("ours");
    let acme = authority.settings("challenge = \"dns-01\"\ndns_hook = \"hook\"");
    red.edit(|text| format!("{text}{acme}"));
    red.start().await;
    shown_leaf(&red, &root, &[]).await;
    red.kill();
    let told = fs::read_to_string(red.folder().join("told")).expect("the hook ran");
    let told: Vec<&str> = told.lines().collect();
    assert!(told[0].starts_with("set _acme-challenge.red.example "), "{told:?}");
    assert!(told.last().is_some_and(|last| last.starts_with("clear _acme-challenge.red.example ")), "{told:?}");
}

#[tokio::test]
async fn refused_proof_keeps_old_certificate() {
    let mut red = GatewayProcess::new("red.example");
    let (asked, answering) = (free(own_address()), free(own_address()));
    let Some(authority) = AcmeAuthority::start(&red, asked, 3600) else { return };
    authority.root(&red).await;
    let acme = authority.settings(&format!("challenge = \"http-01\"\nhttp_listen = \"{answering}\""));
    red.edit(|text| format!("{text}{acme}"));
    red.start().await;
    let line = red.process().says("no certificate was issued").await;
    assert!(line.contains("the proof for red.example") && line.contains("federation.acme.http_listen"), "{line}");
    let file = red.folder().join("tls/cert.pem");
    let before = fs::read(&file).expect("the first certificate");
    drop(authority);
    let line = red.process().says("the authority gives no account").await;
    assert!(line.contains("no certificate was issued"), "{line}");
    assert_eq!(fs::read(&file).expect("kept"), before);
}
