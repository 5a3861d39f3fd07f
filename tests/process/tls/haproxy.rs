//! A gateway behind a real HAProxy, configured as `docs/protocol.md#reverse-proxies` says.
//!
//! Like nginx it may be absent: the tests then say so and end.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::fixtures::node::{GatewayProcess, own_address};
use crate::fixtures::tools::is_installed;
use crate::tls::authority::{FileAuthority, LeafKind, PairFiles};
use crate::tls::nginx::ReverseProxy;

/// Returns whether HAProxy is installed.
pub(super) fn has_haproxy() -> bool {
    is_installed("haproxy", "haproxy")
}

impl ReverseProxy {
    /// Starts HAProxy before the gateway, which it calls by HTTP, with this certificate.
    pub(super) fn haproxy(red: &GatewayProcess, pair: &PairFiles) -> Self {
        let folder = red.folder().join("haproxy");
        fs::create_dir_all(&folder).expect("a folder");
        let address = TcpListener::bind((own_address(), 0)).expect("a port").local_addr().expect("bound");
        // It reads certificate and key from one file.
        let own = folder.join("own.pem");
        let [cert, key] = [&pair.cert, &pair.key].map(|file| fs::read_to_string(file).expect("readable"));
        fs::write(&own, cert + &key).expect("written");
        let configuration = format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend peers\n bind {address} ssl crt {own} ca-file {ca} verify optional ca-ignore-err all crt-ignore-err all\n \
             http-request del-header Forwarded\n \
             http-request set-header X-Forwarded-For %[src]\n \
             http-request del-header X-Client-Cert\n \
             http-request set-header X-Client-Cert \"-----BEGIN CERTIFICATE-----%%0A%[ssl_c_der,base64,url_enc]%%0A\
             -----END CERTIFICATE-----%%0A\" if {{ ssl_c_used }}\n \
             default_backend gateway\n\
             backend gateway\n server red {upstream}\n",
            own = own.display(),
            ca = red.folder().join("ca.pem").display(),
            upstream = red.federation,
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, configuration).expect("written");
        let mut haproxy = Command::new("haproxy");
        haproxy.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: haproxy.spawn().expect("it starts"), address }
    }
}

#[tokio::test]
async fn haproxy_passes_certificate() {
    if !has_haproxy() {
        return;
    }
    let mut red = GatewayProcess::new("red.example");
    let authority = FileAuthority::new();
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    let blue = authority.issue(red.folder(), "blue", &["blue.example"], LeafKind::Usual);
    authority.write(red.folder());
    red.peer_section("blue.example", "addresses = [\"http://127.0.0.1:1\"]\nauth = \"mtls\"");
    red.start_with(&[
        "federation.trusted_proxies=[\"127.0.0.0/8\"]",
        "federation.client_cert_header=\"X-Client-Cert\"",
        "federation.tls.client_ca=\"ca.pem\"",
    ])
    .await;
    let haproxy = ReverseProxy::haproxy(&red, &pair);
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let claim = ["--header", "Fernpost-Origin: blue.example"];
    let push = async |pair: &PairFiles| {
        let (cert, key) = (pair.cert.display().to_string(), pair.key.display().to_string());
        haproxy.push(&["--cert", &cert, "--key", &key, claim[0], claim[1]]).await
    };
    assert_eq!(push(&blue).await, refused(200, ""));
    assert_eq!(haproxy.push(&claim).await, refused(401, "UNAUTHENTICATED"), "no certificate");
    let foreign = FileAuthority::new().issue(red.folder(), "foreign", &["blue.example"], LeafKind::Usual);
    assert_eq!(push(&foreign).await, refused(401, "CERTIFICATE_UNKNOWN_ISSUER"));
    let expired = authority.issue(red.folder(), "expired", &["blue.example"], LeafKind::Expired);
    assert_eq!(push(&expired).await, refused(401, "CERTIFICATE_EXPIRED"));
    // What a caller writes itself is removed.
    let written = format!("X-Client-Cert: {}", "x".repeat(100));
    assert_eq!(haproxy.push(&["--header", &written, claim[0], claim[1]]).await, refused(401, "UNAUTHENTICATED"));
}
