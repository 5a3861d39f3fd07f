//! A server of the tests that has nothing but a key directory, and counts who reads it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use fernpost::identity::key_directory::{KEY_DIRECTORY_PATH, key_directory_json};
use fernpost::identity::key_ring::{KeyRing, StoredKey};
use fernpost::identity::signing_key::OwnKey;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::fixtures::node::own_address;
use crate::fixtures::process::soon;
use crate::tls::authority::PairFiles;

/// The answer to a request for the directory.
#[derive(Debug, Clone)]
pub(crate) enum DirectoryReply {
    /// This JSON.
    Json(String),
    /// This JSON, once the test releases it.
    Held(String),
    /// A redirect to another path of the same server, which would have the keys.
    Redirect(String),
    /// A body without an end.
    Endless,
    /// Nothing, on an open connection.
    Silence,
}

/// The server.
pub(crate) struct DirectoryServer {
    pub(crate) address: SocketAddr,
    reads: watch::Receiver<usize>,
    connections: Arc<AtomicUsize>,
    reply: Arc<Mutex<DirectoryReply>>,
    release: Arc<Notify>,
    #[expect(dead_code, reason = "held for its drop, which closes the listener")]
    tasks: JoinSet<()>,
}

/// Returns a key that follows from this byte.
pub(crate) fn key_of(id: &str, seed: u8) -> OwnKey {
    OwnKey::from_seed(id.parse().expect("an id"), &Zeroizing::new([seed; 32]))
}

/// Returns the directory of these keys.
pub(crate) fn directory_of(keys: &[&OwnKey]) -> String {
    let stored = |key: &&OwnKey| StoredKey { key: (*key).clone(), created: UNIX_EPOCH, signs_from: UNIX_EPOCH };
    key_directory_json(&KeyRing::new(keys.iter().map(stored).collect()))
}

impl DirectoryServer {
    /// Serves with this certificate; without one, plain HTTP.
    pub(crate) async fn start(pair: Option<&PairFiles>, reply: DirectoryReply) -> Self {
        Self::start_at(own_address(), pair, reply).await
    }

    /// The same, at this address.
    pub(crate) async fn start_at(ip: Ipv4Addr, pair: Option<&PairFiles>, reply: DirectoryReply) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let acceptor = pair.map(acceptor);
        let (reply, release) = (Arc::new(Mutex::new(reply)), Arc::new(Notify::new()));
        let (count, reads) = watch::channel(0);
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, replies, released) = (Arc::new(count), Arc::clone(&reply), Arc::clone(&release));
        let (mut tasks, accepted) = (JoinSet::new(), Arc::clone(&connections));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, replies, released) = (acceptor.clone(), Arc::clone(&replies), Arc::clone(&released));
                let count = Arc::clone(&count);
                open.spawn(async move {
                    let parts = AnswerParts { count: &count, replies: &replies, released: &released };
                    // The gateway may close the connection at any time.
                    let _ = match acceptor {
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => answer(stream, parts).await,
                            Err(failed) => Err(failed),
                        },
                        None => answer(stream, parts).await,
                    };
                });
            }
        });
        Self { address, reads, connections, reply, release, tasks }
    }

    /// Answers so from now on.
    pub(crate) async fn reply(&self, reply: DirectoryReply) {
        *self.reply.lock().await = reply;
    }

    /// Releases the answer that is held.
    pub(crate) fn release(&self) {
        self.release.notify_one();
    }

    /// Returns how often the directory was read.
    pub(crate) fn reads(&self) -> usize {
        *self.reads.borrow()
    }

    /// Returns the number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until the directory was read this often.
    pub(crate) async fn read(&mut self, times: usize) {
        soon("a read of the directory", self.reads.wait_for(|reads| *reads >= times)).await.expect("it runs");
    }
}

fn acceptor(pair: &PairFiles) -> TlsAcceptor {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(&pair.cert).expect("a file").map(|one| one.expect("PEM")).collect();
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    TlsAcceptor::from(Arc::new(config))
}

/// The parts that a connection needs.
struct AnswerParts<'a> {
    count: &'a watch::Sender<usize>,
    replies: &'a Mutex<DirectoryReply>,
    released: &'a Notify,
}

/// Answers one request: the directory as the test says, and any other path with 503, as a server that is not there for messages.
async fn answer(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, parts: AnswerParts<'_>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
    if path != KEY_DIRECTORY_PATH && path != "/moved" {
        return whole(&mut stream, "503 Service Unavailable", "", "{}").await;
    }
    let reply = parts.replies.lock().await.clone();
    parts.count.send_modify(|reads| *reads += 1);
    match reply {
        DirectoryReply::Json(json) => whole(&mut stream, "200 OK", "", &json).await,
        DirectoryReply::Held(json) => {
            parts.released.notified().await;
            whole(&mut stream, "200 OK", "", &json).await
        }
        DirectoryReply::Redirect(json) if path == "/moved" => whole(&mut stream, "200 OK", "", &json).await,
        DirectoryReply::Redirect(_) => whole(&mut stream, "308 Permanent Redirect", "Location: /moved\r\n", "").await,
        DirectoryReply::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"keys\":[").await?;
            loop {
                stream.write_all(&[b' '; 4096]).await?;
            }
        }
        DirectoryReply::Silence => {
            stream.read_buf(&mut head).await?;
            Ok(())
        }
    }
}

async fn whole(
    stream: &mut (impl AsyncWriteExt + Unpin),
    status: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
