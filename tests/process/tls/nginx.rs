//! A gateway behind a real nginx, which terminates TLS and passes the caller's address and certificate.
//!
//! nginx is no build tool, so it may be absent: the test then says so and ends. `FERNPOST_TEST_TOOLS=all`, which CI sets, makes it
//! fail instead.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::tools::is_installed;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};

/// Returns whether nginx is installed.
pub(super) fn has_nginx() -> bool {
    is_installed("nginx", "nginx-light")
}

/// A running proxy; it is stopped when this is dropped.
pub(super) struct ReverseProxy {
    pub(super) process: Child,
    pub(super) address: SocketAddr,
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        // The workers of nginx end with their master only if it is told to stop.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

impl ReverseProxy {
    /// Starts nginx before the gateway, which it calls by this scheme, with this certificate.
    pub(super) fn start(red: &GatewayProcess, pair: &PairFiles, scheme: &str) -> Self {
        let folder = red.folder().join("nginx");
        fs::create_dir_all(&folder).expect("a folder");
        let address = TcpListener::bind((own_address(), 0)).expect("a port").local_addr().expect("bound");
        let configuration = format!(
            "daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log off; client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};\n\
             uwsgi_temp_path {dir}; scgi_temp_path {dir};\n\
             server {{ listen {address} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
             ssl_verify_client optional_no_ca;\n\
             location / {{ proxy_pass {scheme}://{upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host;\n\
             proxy_set_header Forwarded \"\"; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
             proxy_set_header X-Client-Cert $ssl_client_escaped_cert; }} }} }}\n",
            dir = folder.display(),
            cert = pair.cert.display(),
            key = pair.key.display(),
            upstream = red.federation,
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration).expect("written");
        let mut nginx = Command::new("nginx");
        nginx.arg("-c").arg(&file).arg("-p").arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: nginx.spawn().expect("nginx starts"), address }
    }

    /// Pushes one update through the proxy; returns the status and the code of the refusal.
    pub(super) async fn push(&self, more: &[&str]) -> (u16, String) {
        let mut curl = Command::new("curl");
        let resolve = format!("red.example:{}:{}", self.address.port(), self.address.ip());
        curl.args(["--silent", "--insecure", "--resolve", &resolve, "--write-out", "\n%{http_code}"]);
        // nginx may not listen yet.
        curl.args(["--retry", "20", "--retry-connrefused", "--retry-delay", "1", "--max-time", "20"]);
        curl.args(["--json", r#"{"seq":1,"strong":[{}]}"#]).args(more);
        curl.arg(format!("https://red.example:{}/http/v1/updates", self.address.port()));
        let output = tokio::task::spawn_blocking(move || curl.output().expect("curl")).await.expect("it ran");
        super::callers::answer(&output)
    }
}

#[tokio::test]
async fn nginx_passes_certificate_and_address() {
    if !has_nginx() {
        return;
    }
    let mut red = GatewayProcess::new("red.example");
    let authority = FileAuthority::new();
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    let blue = authority.issue(red.folder(), "blue", &["blue.example"], LeafKind::Usual);
    let ca = authority.write(red.folder());
    let address = "addresses = [\"http://127.0.0.1:1\"]";
    red.peer_section("blue.example", &format!("{address}\nauth = \"mtls\""));
    red.peer("green.example", &format!("{address}\nallow_from = [\"127.0.0.1/32\", \"198.51.100.0/24\"]\n"));
    red.start_with(&[
        "federation.trusted_proxies=[\"127.0.0.0/8\"]",
        "federation.client_cert_header=\"X-Client-Cert\"",
        &format!("federation.tls.client_ca=\"{}\"", ca.display()),
    ])
    .await;
    let nginx = ReverseProxy::start(&red, &pair, "http");
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let (cert, key) = (blue.cert.display().to_string(), blue.key.display().to_string());
    let as_blue = ["--cert", &cert, "--key", &key, "--header", "Fernpost-Origin: blue.example"];
    assert_eq!(nginx.push(&as_blue).await, refused(200, ""));
    assert_eq!(nginx.push(&as_blue[4..]).await, refused(401, "UNAUTHENTICATED"), "no certificate");
    let foreign = FileAuthority::new().issue(red.folder(), "foreign", &["blue.example"], LeafKind::Usual);
    let (cert, key) = (foreign.cert.display().to_string(), foreign.key.display().to_string());
    let as_foreign = ["--cert", &cert, "--key", &key, as_blue[4], as_blue[5]];
    assert_eq!(nginx.push(&as_foreign).await, refused(401, "CERTIFICATE_UNKNOWN_ISSUER"));
    // A header that the caller writes itself is replaced by nginx, and what it writes into the address list counts for nothing:
    // each address of this list is a trusted proxy or the caller's own, which is 127.0.0.1 here, a trusted one too.
    let forged = ["--header", "X-Client-Cert: x", "--header", "Fernpost-Origin: green.example"];
    assert_eq!(nginx.push(&forged).await, refused(401, "UNAUTHENTICATED"), "the proxy's own address proves nobody");
    let written = ["--header", "Forwarded: for=198.51.100.7", "--header", "Fernpost-Origin: green.example"];
    assert_eq!(nginx.push(&written).await, refused(401, "UNAUTHENTICATED"), "nginx removes what a caller writes");
    let listed = ["--header", "X-Forwarded-For: 198.51.100.7", "--header", "Fernpost-Origin: green.example"];
    assert_eq!(nginx.push(&listed).await, refused(200, ""), "a chain of trusted proxies leads to green's address");
}
