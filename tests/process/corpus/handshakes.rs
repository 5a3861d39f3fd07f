//! Bytes before and within the handshake of TLS. The verdict is the alert (RFC 8446, section 6) with which the listener ends the
//! connection, or that it closes without one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::corpus::area::repeat_area;
use crate::corpus::table::NamedInput;
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::fixtures::raw::Raw;
use crate::tls::authority::{FileAuthority, LeafKind};

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandshakeEnd {
    /// One fatal alert with this number, and nothing else.
    Alert(u8),
    /// Not a byte.
    Closed,
}

use HandshakeEnd::{Alert, Closed};

const UNEXPECTED_MESSAGE: HandshakeEnd = Alert(10);
const HANDSHAKE_FAILURE: HandshakeEnd = Alert(40);
const ILLEGAL_PARAMETER: HandshakeEnd = Alert(47);
const DECODE_ERROR: HandshakeEnd = Alert(50);
const PROTOCOL_VERSION: HandshakeEnd = Alert(70);
const NO_APPLICATION_PROTOCOL: HandshakeEnd = Alert(120);

struct BadHandshake {
    name: &'static str,
    bytes: Vec<u8>,
    end: HandshakeEnd,
}

impl NamedInput for BadHandshake {
    fn name(&self) -> &str {
        self.name
    }
}

const HANDSHAKE: u8 = 22;

/// Returns a record with this payload.
fn record(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("it fits");
    [&[kind][..], &version.to_be_bytes(), &length.to_be_bytes(), payload].concat()
}

/// Returns a message of the handshake.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it fits").to_be_bytes();
    [&[kind][..], &length[1..], body].concat()
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("it fits").to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(body)].concat()
}

/// The parts of a hello, which can be made wrong one by one.
struct ClientHello {
    version: u16,
    suites: Vec<u16>,
    compression: Vec<u8>,
    extensions: Vec<Vec<u8>>,
}

const GROUPS: u16 = 10;
const SCHEMES: u16 = 13;
const PROTOCOLS: u16 = 16;

impl ClientHello {
    /// A sound one of TLS 1.2.
    fn sound() -> Self {
        let extensions = vec![
            extension(GROUPS, &with_length(&[0, 29, 0, 23])),
            extension(SCHEMES, &with_length(&[4, 3, 8, 4])),
            extension(23, &[]),
        ];
        Self { version: 0x0303, suites: vec![0xc02b, 0xc02f], compression: vec![0], extensions }
    }

    fn of_version(version: u16) -> Self {
        Self { version, ..Self::sound() }
    }

    fn with(mut self, kind: u16, body: &[u8]) -> Self {
        self.extensions.retain(|extension| extension[..2] != kind.to_be_bytes());
        self.extensions.push(extension(kind, body));
        self
    }

    fn body(&self) -> Vec<u8> {
        let suites: Vec<u8> = self.suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
        let compression = [&[u8::try_from(self.compression.len()).expect("few")][..], &self.compression].concat();
        let version = self.version.to_be_bytes();
        let random = [7; 32];
        [&version[..], &random, &[0], &with_length(&suites), &compression, &with_length(&self.extensions.concat())]
            .concat()
    }

    fn bytes(&self) -> Vec<u8> {
        record(HANDSHAKE, 0x0301, &message(1, &self.body()))
    }
}

/// Bytes that are no TLS.
fn strangers() -> Vec<BadHandshake> {
    let all: [(&'static str, Vec<u8>, HandshakeEnd); 11] = [
        ("no_byte", vec![], Closed),
        ("plain_http", b"GET / HTTP/1.1\r\nHost: red.example\r\n\r\n".to_vec(), DECODE_ERROR),
        ("http2_preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), DECODE_ERROR),
        ("ssh_banner", b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), DECODE_ERROR),
        ("proxy_protocol", b"PROXY TCP4 198.51.100.7 127.0.0.1 1 2\r\n".to_vec(), DECODE_ERROR),
        ("zero_bytes", vec![0; 600], DECODE_ERROR),
        ("high_bytes", vec![0xff; 600], DECODE_ERROR),
        ("ssl2_hello", [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[7; 37]].concat(), DECODE_ERROR),
        ("one_byte", vec![HANDSHAKE], Closed),
        ("half_a_record_head", vec![HANDSHAKE, 3, 1], Closed),
        ("kind_of_record_unknown", record(99, 0x0301, b"x"), DECODE_ERROR),
    ];
    all.into_iter().map(|(name, bytes, end)| BadHandshake { name, bytes, end }).collect()
}

/// Records and messages that are out of place or out of shape. The library has one alert for all that it cannot decode, also for what
/// is too long.
fn records() -> Vec<BadHandshake> {
    let hello = ClientHello::sound().bytes();
    let half = hello[..hello.len() / 2].to_vec();
    let mut endless = message(1, &[0; 16]);
    endless[1] = 0xff;
    let more = record(HANDSHAKE, 0x0301, &[0; 16_000]).repeat(8);
    let begun = [record(HANDSHAKE, 0x0301, &endless), more].concat();
    let body = ClientHello::sound().body();
    let all = [
        ("half_a_hello", half, Closed),
        ("record_of_64_kib", [&[HANDSHAKE, 3, 1, 0xff, 0xff][..], &[0; 64]].concat(), DECODE_ERROR),
        ("record_one_byte_too_long", [&[HANDSHAKE, 3, 1, 0x48, 0x01][..], &[0; 64]].concat(), DECODE_ERROR),
        ("record_of_version_2", record(HANDSHAKE, 0x0200, &message(1, &body)), DECODE_ERROR),
        ("empty_record", record(HANDSHAKE, 0x0301, b""), DECODE_ERROR),
        ("empty_hello", record(HANDSHAKE, 0x0301, &message(1, b"")), DECODE_ERROR),
        ("hello_cut_off", record(HANDSHAKE, 0x0301, &message(1, &body[..40])), DECODE_ERROR),
        ("hello_with_bytes_behind", record(HANDSHAKE, 0x0301, &message(1, &[&body[..], b"x"].concat())), DECODE_ERROR),
        ("hello_of_zeros", record(HANDSHAKE, 0x0301, &message(1, &[0; 64])), DECODE_ERROR),
        ("message_of_16_mib_announced", record(HANDSHAKE, 0x0301, &endless), Closed),
        // The library stops reading, without an alert, at 64 KiB.
        ("message_of_16_mib_begun", begun, Closed),
        ("message_unknown", record(HANDSHAKE, 0x0301, &message(77, &body)), UNEXPECTED_MESSAGE),
        ("server_hello", record(HANDSHAKE, 0x0303, &message(2, &body)), DECODE_ERROR),
        ("finished_first", record(HANDSHAKE, 0x0303, &message(20, &[0; 12])), UNEXPECTED_MESSAGE),
        ("certificate_first", record(HANDSHAKE, 0x0303, &message(11, &[0, 0, 0])), UNEXPECTED_MESSAGE),
        ("application_data_first", record(23, 0x0303, b"GET / HTTP/1.1\r\n\r\n"), UNEXPECTED_MESSAGE),
        ("cipher_change_first", record(20, 0x0303, &[1]), UNEXPECTED_MESSAGE),
        ("heartbeat_first", record(24, 0x0303, &[1, 0x40, 0]), DECODE_ERROR),
        ("alert_first", record(21, 0x0303, &[2, 40]), Closed),
        ("farewell_first", record(21, 0x0303, &[1, 0]), Closed),
        ("alert_cut_off", record(21, 0x0303, &[2]), DECODE_ERROR),
    ];
    all.into_iter().map(|(name, bytes, end)| BadHandshake { name, bytes, end }).collect()
}

/// Hellos that are well formed, and offer what is not accepted.
fn offers() -> Vec<BadHandshake> {
    let twice = |kind: u16, body: &[u8]| {
        let mut hello = ClientHello::sound();
        hello.extensions.extend([extension(kind, body), extension(kind, body)]);
        hello
    };
    let suites = |suites: &[u16]| ClientHello { suites: suites.to_vec(), ..ClientHello::sound() };
    let compression = |compression: &[u8]| ClientHello { compression: compression.to_vec(), ..ClientHello::sound() };
    let name =
        |kind: u8, name: &[u8]| ClientHello::sound().with(0, &with_length(&[&[kind][..], &with_length(name)].concat()));
    let bare = ClientHello { extensions: vec![], ..ClientHello::sound() };
    let all = [
        ("version_ssl3", ClientHello::of_version(0x0300), PROTOCOL_VERSION),
        ("version_tls_1_0", ClientHello::of_version(0x0301), PROTOCOL_VERSION),
        ("version_tls_1_1", ClientHello::of_version(0x0302), PROTOCOL_VERSION),
        ("old_versions_by_extension", ClientHello::sound().with(43, &[4, 3, 1, 3, 2]), PROTOCOL_VERSION),
        ("no_version_by_extension", ClientHello::sound().with(43, &[0]), DECODE_ERROR),
        ("no_suite", suites(&[]), DECODE_ERROR),
        ("suites_without_forward_secrecy", suites(&[0x002f, 0x0035, 0x009c, 0x000a]), HANDSHAKE_FAILURE),
        ("suites_of_export_and_null", suites(&[0x0000, 0x0001, 0x0003, 0x0008]), HANDSHAKE_FAILURE),
        ("suites_in_cbc_mode", suites(&[0xc013, 0xc014, 0xc027]), HANDSHAKE_FAILURE),
        ("suites_of_tls_1_3_alone", suites(&[0x1301, 0x1302]), HANDSHAKE_FAILURE),
        ("no_compression_method", compression(&[]), DECODE_ERROR),
        ("compression_alone", compression(&[1]), ILLEGAL_PARAMETER),
        ("group_not_known", ClientHello::sound().with(GROUPS, &with_length(&[0xff, 0xff])), HANDSHAKE_FAILURE),
        ("scheme_not_known", ClientHello::sound().with(SCHEMES, &with_length(&[0xff, 0xff])), HANDSHAKE_FAILURE),
        ("schemes_of_sha1", ClientHello::sound().with(SCHEMES, &with_length(&[2, 1, 2, 3])), HANDSHAKE_FAILURE),
        ("extension_twice", twice(SCHEMES, &with_length(&[4, 3])), ILLEGAL_PARAMETER),
        ("extension_cut_off", ClientHello::sound().with(GROUPS, &[0, 9, 0]), DECODE_ERROR),
        ("name_empty", name(0, b""), DECODE_ERROR),
        ("name_with_nul", name(0, b"red\0.example"), ILLEGAL_PARAMETER),
        (
            "protocol_http2_alone",
            ClientHello::sound().with(PROTOCOLS, &with_length(b"\x02h2")),
            NO_APPLICATION_PROTOCOL,
        ),
        ("protocol_empty", ClientHello::sound().with(PROTOCOLS, &with_length(b"\0")), DECODE_ERROR),
        ("no_extension", bare, HANDSHAKE_FAILURE),
    ];
    all.into_iter().map(|(name, hello, end)| BadHandshake { name, bytes: hello.bytes(), end }).collect()
}

/// Bytes that are written into the socket below a finished session. The listener ends it; what it says is encrypted.
fn later() -> Vec<BadHandshake> {
    let hello = ClientHello::sound().bytes();
    let all = [
        ("later_forged_record", record(23, 0x0303, &[9; 64])),
        ("later_plain_http", b"GET / HTTP/1.1\r\nHost: red.example\r\n\r\n".to_vec()),
        ("later_hello", hello),
        ("later_plain_alert", record(21, 0x0303, &[2, 40])),
        ("later_oversized_record", [&[23, 3, 3, 0xff, 0xff][..], &[0; 64]].concat()),
        ("later_empty_record", record(23, 0x0303, b"")),
    ];
    all.into_iter().map(|(name, bytes)| BadHandshake { name, bytes, end: Closed }).collect()
}

fn first() -> Vec<BadHandshake> {
    [strangers(), records(), offers()].into_iter().flatten().collect()
}

pub(super) fn names() -> Vec<String> {
    first().into_iter().chain(later()).map(|input| input.name.to_owned()).collect()
}

async fn judge_first(input: &BadHandshake, to: SocketAddr) -> Result<(), String> {
    let answer = Raw::connect(Ipv4Addr::LOCALHOST, to).await.reply(&input.bytes).await;
    let end = match answer[..] {
        [] => Closed,
        [21, 3, _, 0, 2, 2, number] => Alert(number),
        _ => return Err(format!("{answer:?} instead of {:?}", input.end)),
    };
    if end == input.end { Ok(()) } else { Err(format!("{end:?} instead of {:?}", input.end)) }
}

/// Finishes a handshake, and writes the bytes below the session.
async fn judge_later(input: &BadHandshake, to: SocketAddr, connector: &TlsConnector) -> Result<(), String> {
    let tcp = TcpStream::connect(to).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from("red.example").expect("a name");
    let mut session = connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
    let socket = session.get_mut().0;
    // The listener may have closed before it read all of it.
    let _ = socket.write_all(&input.bytes).await;
    let mut read = vec![];
    let _ = soon("the end of the session", socket.read_to_end(&mut read)).await;
    let answered = read.windows(5).any(|bytes| bytes == b"HTTP/");
    if answered { Err(String::from_utf8_lossy(&read).into_owned()) } else { Ok(()) }
}

#[tokio::test]
async fn bad_handshakes_get_their_verdicts() {
    let authority = FileAuthority::new();
    let mut red = GatewayProcess::new("red.example");
    let pair = authority.issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &pair.cert, &pair.key);
    red.start_with(&["federation.header_timeout=2s", "federation.idle_timeout=2s"]).await;
    let to = red.federation;
    let mut roots = rustls::RootCertStore::empty();
    let ca = std::fs::read(authority.write(red.folder())).expect("written");
    for certificate in rustls::pki_types::pem::PemObject::pem_slice_iter(&ca) {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));

    repeat_area("handshakes", &first(), &mut red, async |input| judge_first(input, to).await).await;
    repeat_area("sessions", &later(), &mut red, async |input| judge_later(input, to, &connector).await).await;

    let tcp = TcpStream::connect(to).await.expect("connected");
    let name = ServerName::try_from("red.example").expect("a name");
    let mut session = connector.connect(name, tcp).await.expect("a sound handshake");
    session
        .write_all(b"GET /.well-known/http-message-signatures-directory HTTP/1.1\r\nHost: red.example\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = [0; 12];
    session.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}
