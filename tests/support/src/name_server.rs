//! A name server on loopback, by UDP and TCP, with the answers that a test sets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// A reply to one question.
#[derive(Debug, Clone)]
pub enum ZoneReply {
    /// These records: owner, lifetime in seconds, data.
    Records(Vec<(String, u32, RData)>),
    /// The same, but by TCP only: a datagram is truncated.
    Truncated(Vec<(String, u32, RData)>),
    /// The name exists and has no such record.
    Empty,
    /// The name does not exist.
    Missing,
    /// The server fails (SERVFAIL).
    Failure,
    /// Bytes that are no message.
    Malformed,
    /// Another reply, whose bytes are altered.
    Altered(Box<ZoneReply>, fn(&mut Vec<u8>)),
    /// No reply at all.
    Silence,
}

/// The names of the server. Names that are not set do not exist.
type Zone = HashMap<(String, RecordType), ZoneReply>;

/// A running name server; it ends when it is dropped.
pub struct TestNameServer {
    /// The address at which it is asked.
    pub address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for TestNameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl TestNameServer {
    /// Starts a server without names.
    pub async fn start() -> Self {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            // The same port may be taken for TCP.
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let (zone, asked) = (Arc::<Mutex<Zone>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let parts = (zone.clone(), asked.clone());
        let datagrams = tokio::spawn(async move {
            let mut bytes = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
                if let Some(reply) = replied(&parts, &bytes[..length], "udp") {
                    udp.send_to(&reply, from).await.ok();
                }
            }
        });
        let parts = (zone.clone(), asked.clone());
        let streams = tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                tokio::spawn(serve_stream(stream, parts.clone()));
            }
        });
        Self { address, zone, asked, tasks: [datagrams, streams] }
    }

    /// Sets the reply to a question. The name has no final dot.
    pub fn set(&self, name: &str, kind: RecordType, reply: ZoneReply) -> &Self {
        self.zone.lock().unwrap().insert((name.to_owned(), kind), reply);
        self
    }

    /// Sets the addresses of a host: it has those of one family, and none of the other.
    pub fn host(&self, name: &str, ttl: u32, addresses: &[IpAddr]) -> &Self {
        let of = |wants_v4: bool| -> Vec<_> {
            let of_family = addresses.iter().filter(|address| address.is_ipv4() == wants_v4);
            of_family.map(|address| (name.to_owned(), ttl, RData::from(*address))).collect()
        };
        for (kind, records) in [(RecordType::A, of(true)), (RecordType::AAAA, of(false))] {
            let reply = if records.is_empty() { ZoneReply::Empty } else { ZoneReply::Records(records) };
            self.set(name, kind, reply);
        }
        self
    }

    /// Sets the hosts of a service: priority, weight, port, target.
    pub fn service(&self, name: &str, ttl: u32, hosts: &[(u16, u16, u16, &str)]) -> &Self {
        let records = hosts.iter().map(|host| (name.to_owned(), ttl, srv(*host))).collect();
        self.set(name, RecordType::SRV, ZoneReply::Records(records))
    }

    /// Sets a reply to all kinds of questions about a name.
    pub fn all(&self, name: &str, reply: &ZoneReply) -> &Self {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::SRV] {
            self.set(name, kind, reply.clone());
        }
        self
    }

    /// Returns the questions since the last call, such as `A blue.example udp`, in alphabetical order: those for both families of
    /// addresses come at the same time.
    pub fn questions(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }
}

/// Returns the data of a record that names a host of a service; the target `""` is the root.
pub fn srv((priority, weight, port, target): (u16, u16, u16, &str)) -> RData {
    RData::SRV(SRV::new(priority, weight, port, absolute(target)))
}

/// Returns the data of a record that makes its owner an alias.
pub fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(absolute(target)))
}

fn absolute(name: &str) -> Name {
    Name::from_str(&format!("{name}.")).unwrap()
}

type ServerParts = (Arc<Mutex<Zone>>, Arc<Mutex<Vec<String>>>);

async fn serve_stream(mut stream: TcpStream, parts: ServerParts) {
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; length.into()];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        if let Some(reply) = replied(&parts, &question, "tcp") {
            let length = u16::try_from(reply.len()).unwrap();
            if stream.write_all(&[&length.to_be_bytes(), &reply[..]].concat()).await.is_err() {
                return;
            }
        }
    }
}

/// Returns the bytes of a reply; `None`: there is none.
fn replied((zone, asked): &ServerParts, question: &[u8], transport: &str) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries.first().unwrap().clone();
    let (name, kind) = (query.name().to_ascii().trim_end_matches('.').to_owned(), query.query_type());
    asked.lock().unwrap().push(format!("{kind} {name} {transport}"));
    let reply = zone.lock().unwrap().get(&(name, kind)).cloned().unwrap_or(ZoneReply::Missing);
    let (reply, alter) = match reply {
        ZoneReply::Altered(inner, alter) => (*inner, Some(alter)),
        reply => (reply, None),
    };
    let mut message = Message::response(question.metadata.id, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_query(query);
    match reply {
        ZoneReply::Truncated(_) if transport == "udp" => message.metadata.truncation = true,
        ZoneReply::Records(records) | ZoneReply::Truncated(records) => {
            let records = records.into_iter().map(|(owner, ttl, data)| Record::from_rdata(absolute(&owner), ttl, data));
            message.add_answers(records);
        }
        ZoneReply::Empty => {}
        ZoneReply::Missing => message.metadata.response_code = ResponseCode::NXDomain,
        ZoneReply::Failure => message.metadata.response_code = ResponseCode::ServFail,
        ZoneReply::Malformed => return Some([&question.metadata.id.to_be_bytes()[..], &[0xff; 9]].concat()),
        ZoneReply::Silence => return None,
        ZoneReply::Altered(..) => unreachable!("one alteration is enough"),
    }
    let mut bytes = message.to_vec().unwrap();
    alter.inspect(|alter| alter(&mut bytes));
    Some(bytes)
}
