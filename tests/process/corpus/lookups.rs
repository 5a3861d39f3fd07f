//! Answers of a name server that lead nowhere. Each peer has a bad one; the verdict is the code of the failed attempt.

use std::time::Duration;

use ::fixtures::clients::messenger_client::texts;
use ::fixtures::name_server::{TestNameServer, ZoneReply, cname, srv};
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::corpus::area::memory_stays_flat;
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::process::soon;
use crate::tls::authority::{FileAuthority, LeafKind};

/// Interval of checks of the peers' states.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Questions for each bad lookup after which memory is measured.
const QUESTIONS_WARM: usize = 10;

/// Questions for each bad lookup between the two measurements.
const QUESTIONS_MEASURED: usize = 40;

/// The zone of a peer that is wrong in one way.
struct BadLookup {
    name: &'static str,
    zone: Vec<(String, RecordType, ZoneReply)>,
    /// Code of the failed attempt. `CONNECT_REFUSED` means that the sound part of the answer was used: nothing listens there.
    code: &'static str,
}

fn address(text: &str) -> RData {
    RData::from(text.parse::<std::net::IpAddr>().expect("an address"))
}

fn records(owner: &str, ttl: u32, data: impl IntoIterator<Item = RData>) -> ZoneReply {
    ZoneReply::Records(data.into_iter().map(|data| (owner.to_owned(), ttl, data)).collect())
}

/// The names of one peer, and replies about them.
struct PeerZone {
    service: String,
    host: String,
    peer: String,
}

type ZoneEntry = (String, RecordType, ZoneReply);

impl PeerZone {
    fn of(peer: &str) -> Self {
        Self { service: format!("_actor-server._tcp.{peer}"), host: format!("host.{peer}"), peer: peer.to_owned() }
    }

    fn below(&self, word: impl std::fmt::Display) -> String {
        format!("{word}.{}", self.peer)
    }

    /// Services: priority, weight, port and target.
    fn services(&self, hosts: &[(u16, u16, u16, &str)]) -> ZoneReply {
        records(&self.service, 60, hosts.iter().map(|host| srv(*host)))
    }

    fn at_host(&self) -> ZoneReply {
        self.services(&[(1, 1, 1, &self.host)])
    }

    fn hosts(&self, ttl: u32, addresses: &[&str]) -> Vec<ZoneEntry> {
        let of = |six: bool| {
            let data = addresses.iter().map(|text| address(text)).filter(|data| matches!(data, RData::AAAA(_)) == six);
            let data: Vec<RData> = data.collect();
            if data.is_empty() { ZoneReply::Empty } else { records(&self.host, ttl, data) }
        };
        vec![(self.host.clone(), RecordType::A, of(false)), (self.host.clone(), RecordType::AAAA, of(true))]
    }

    /// Its host is sound, and its service is this.
    fn service(&self, reply: ZoneReply) -> Vec<ZoneEntry> {
        [vec![(self.service.clone(), RecordType::SRV, reply)], self.hosts(60, &["127.0.0.1"])].concat()
    }

    /// Its service is sound, and its host has these addresses.
    fn at(&self, addresses: &[&str]) -> Vec<ZoneEntry> {
        [vec![(self.service.clone(), RecordType::SRV, self.at_host())], self.hosts(60, addresses)].concat()
    }

    /// Its service is sound, and these are the aliases of its host.
    fn aliases(&self, aliases: &[(String, String)]) -> Vec<ZoneEntry> {
        let of_host = aliases.iter().map(|(owner, target)| (owner.clone(), 60, cname(target))).collect();
        let reply = ZoneReply::Records(of_host);
        let service = (self.service.clone(), RecordType::SRV, self.at_host());
        vec![service, (self.host.clone(), RecordType::A, reply.clone()), (self.host.clone(), RecordType::AAAA, reply)]
    }

    fn altered(&self, alter: fn(&mut Vec<u8>)) -> Vec<ZoneEntry> {
        self.service(ZoneReply::Altered(Box::new(self.at_host()), alter))
    }

    fn beside(&self, bad: (u16, u16, u16, &str)) -> Vec<ZoneEntry> {
        self.service(self.services(&[bad, (1, 1, 1, &self.host)]))
    }

    fn lasting(&self, ttl: u32) -> Vec<ZoneEntry> {
        let service =
            (self.service.clone(), RecordType::SRV, records(&self.service, ttl, [srv((1, 1, 1, &self.host))]));
        [vec![service], self.hosts(ttl, &["127.0.0.1"])].concat()
    }
}

/// Returns each bad lookup, as if it were that of this peer.
fn inputs(peer: &str) -> Vec<BadLookup> {
    let zone = PeerZone::of(peer);
    let host = zone.host.as_str();
    let step = |n: u8| (zone.below(n), zone.below(n + 1));
    let ten: Vec<_> = std::iter::once((host.to_owned(), zone.below(0))).chain((0..10).map(step)).collect();
    let circle = [(host.to_owned(), zone.below("a")), (zone.below("a"), host.to_owned())];
    let other = records("_actor-server._tcp.other.example", 60, [srv((1, 1, 1, host))]);
    let refused = ZoneReply::Truncated(vec![(zone.service.clone(), 60, srv((0, 0, 0, "")))]);
    let by_stream = ZoneReply::Truncated(vec![(zone.service.clone(), 60, srv((1, 1, 1, host)))]);
    let other_by_stream = ZoneReply::Altered(Box::new(by_stream), |bytes| {
        let is_truncated = bytes[2] & 0x02 != 0;
        bytes[14] ^= u8::from(!is_truncated);
    });
    let all = [
        ("name_missing", vec![], "NAME_NOT_FOUND"),
        ("name_without_records", vec![(zone.service.clone(), RecordType::SRV, ZoneReply::Empty)], "NAME_NOT_FOUND"),
        ("server_fails", zone.service(ZoneReply::Failure), "DNS_FAILED"),
        ("server_is_silent", zone.service(ZoneReply::Silence), "DNS_FAILED"),
        ("answer_is_no_message", zone.service(ZoneReply::Malformed), "DNS_FAILED"),
        ("answer_with_other_id", zone.altered(|bytes| bytes[0] ^= 0xff), "DNS_FAILED"),
        ("answer_is_question", zone.altered(|bytes| bytes[2] &= 0x7f), "DNS_FAILED"),
        ("answer_cut_within_record", zone.altered(|bytes| bytes.truncate(bytes.len() - 9)), "DNS_FAILED"),
        ("answer_cut_within_head", zone.altered(|bytes| bytes.truncate(7)), "DNS_FAILED"),
        ("answer_empty", zone.altered(Vec::clear), "DNS_FAILED"),
        ("answer_with_counts_beyond_records", zone.altered(|bytes| bytes[6] = 0xff), "DNS_FAILED"),
        ("answer_to_other_question", zone.altered(|bytes| bytes[14] ^= 0x01), "DNS_FAILED"),
        ("answer_to_other_question_by_stream", zone.service(other_by_stream), "DNS_FAILED"),
        (
            "answer_with_pointer_to_itself",
            zone.altered(|bytes| bytes[12..14].copy_from_slice(&[0xc0, 12])),
            "DNS_FAILED",
        ),
        ("truncated_by_both_ways", zone.altered(|bytes| bytes[2] |= 0x02), "DNS_FAILED"),
        ("truncated_by_datagram", zone.service(refused), "SERVICE_NOT_OFFERED"),
        ("records_of_other_name", zone.service(other), "NAME_NOT_FOUND"),
        ("service_not_offered", zone.service(zone.services(&[(0, 0, 0, "")])), "SERVICE_NOT_OFFERED"),
        ("root_beside_other", zone.beside((0, 0, 1, "")), "CONNECT_REFUSED"),
        ("port_zero_beside_other", zone.beside((0, 0, 0, host)), "CONNECT_REFUSED"),
        ("address_as_target_beside_other", zone.beside((0, 0, 1, "127.0.0.1")), "CONNECT_REFUSED"),
        ("port_zero_alone", zone.service(zone.services(&[(1, 1, 0, host)])), "DNS_FAILED"),
        ("target_missing", zone.service(zone.services(&[(1, 1, 1, &zone.below("nowhere"))])), "NAME_NOT_FOUND"),
        ("alias_of_itself", zone.aliases(&[(host.to_owned(), host.to_owned())]), "DNS_FAILED"),
        ("alias_in_circle", zone.aliases(&circle), "DNS_FAILED"),
        ("alias_of_ten_steps", zone.aliases(&ten), "DNS_FAILED"),
        ("lifetime_zero", zone.lasting(0), "CONNECT_REFUSED"),
        ("lifetime_of_68_years", zone.lasting(u32::MAX >> 1), "CONNECT_REFUSED"),
        ("lifetime_with_top_bit", zone.lasting(u32::MAX), "CONNECT_REFUSED"),
        ("address_private", zone.at(&["10.0.0.1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_link_local", zone.at(&["169.254.169.254"]), "ADDRESS_NOT_ALLOWED"),
        ("address_of_this_network", zone.at(&["0.0.0.0"]), "ADDRESS_NOT_ALLOWED"),
        ("address_shared", zone.at(&["100.64.0.1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_multicast", zone.at(&["224.0.0.1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_broadcast", zone.at(&["255.255.255.255"]), "ADDRESS_NOT_ALLOWED"),
        ("address_documentation", zone.at(&["192.0.2.1"]), "ADDRESS_NOT_ALLOWED"),
        ("addresses_private_all", zone.at(&["10.0.0.1", "172.16.0.1", "192.168.0.1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_private_beside_allowed", zone.at(&["10.0.0.1", "127.0.0.1"]), "CONNECT_REFUSED"),
        ("address_of_six_loopback", zone.at(&["::1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_of_six_mapped", zone.at(&["::ffff:127.0.0.1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_of_six_local", zone.at(&["fd00::1"]), "ADDRESS_NOT_ALLOWED"),
        ("address_of_six_translated", zone.at(&["64:ff9b::7f00:1"]), "ADDRESS_NOT_ALLOWED"),
    ];
    all.into_iter().map(|(name, zone, code)| BadLookup { name, zone, code }).collect()
}

pub(super) fn names() -> Vec<String> {
    inputs("x").into_iter().map(|input| input.name.to_owned()).collect()
}

/// Each peer with its bad lookup.
fn peers() -> Vec<(String, BadLookup)> {
    let peer = |at: usize| {
        let name = format!("p{at}.example");
        let lookup = inputs(&name).remove(at);
        (name, lookup)
    };
    (0..names().len()).map(peer).collect()
}

/// Waits until the gateway has asked so many questions.
async fn asked(names: &TestNameServer, count: usize) {
    let mut left = count;
    let questions = async {
        while left > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
            left = left.saturating_sub(names.questions().len());
        }
    };
    soon("questions", questions).await;
}

/// Two gateways that find each other, and all the peers that red does not find.
async fn start(names: &TestNameServer, peers: &[(String, BadLookup)]) -> (GatewayProcess, GatewayProcess) {
    let authority = FileAuthority::new();
    let [mut red, mut blue] = ["red.example", "blue.example"].map(GatewayProcess::new);
    let ca = authority.write(red.folder());
    let own = authority.issue(blue.folder(), "own", &["blue.example"], LeafKind::Usual);
    blue.tls("federation", &own.cert, &own.key);
    names.host("host.blue.example", 60, &[blue.federation.ip()]);
    names.service("_actor-server._tcp.blue.example", 60, &[(1, 1, blue.federation.port(), "host.blue.example")]);
    blue.peer("red.example", "addresses = [\"http://127.0.0.1:1\"]\nallow_from = [\"127.0.0.1/32\"]");
    red.peer("blue.example", "allow_from = [\"127.0.0.2/32\"]");
    let always = "backoff_min = \"100ms\"\nbackoff_max = \"100ms\"\nfailures_to_suspend = 1_000_000\nattempts_keep = 1";
    for (at, (name, lookup)) in peers.iter().enumerate() {
        red.peer(name, &format!("allow_from = [\"192.0.2.{at}/32\"]\n{always}"));
        for (owner, kind, reply) in &lookup.zone {
            names.set(owner, *kind, reply.clone());
        }
    }
    blue.start().await;
    red.start_with(&[
        &format!("network.resolvers=[\"{}\"]", names.address),
        "network.allow=[\"127.0.0.0/8\"]",
        &format!("network.roots=[\"{}\"]", ca.display()),
        "network.dns_timeout=300ms",
        "network.dns_ttl_min=0s",
        "network.dns_ttl_max=100ms",
        "network.dns_failure_ttl=1ms",
        "store.cache=1MiB",
    ])
    .await;
    (red, blue)
}

#[tokio::test]
async fn bad_lookups_get_their_verdicts() {
    let (names, peers) = (TestNameServer::start().await, peers());
    let (mut red, blue) = start(&names, &peers).await;
    let api = red.api();
    for (at, (peer, _)) in peers.iter().enumerate() {
        api.say(&format!("m-{at}"), peer, "nobody hears it").await;
    }
    for (peer, lookup) in &peers {
        let failed = async {
            while api.get(&format!("/v1/peers/{peer}")).await["failures"].as_u64().expect("a number") < 3 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        soon(lookup.name, failed).await;
    }
    let mut wrong = vec![];
    for (peer, lookup) in &peers {
        let status = api.get(&format!("/v1/peers/{peer}")).await;
        if status["last_code"] != lookup.code {
            wrong.push(format!(
                "{}: {} instead of {}: {}",
                lookup.name, status["last_code"], lookup.code, status["last_error"]
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), peers.len(), wrong.join("\n"));

    asked(&names, peers.len() * QUESTIONS_WARM).await;
    let count = peers.len() * QUESTIONS_MEASURED;
    memory_stays_flat("lookups", count, &mut red, async || asked(&names, count).await).await;

    red.api().say("good", "blue.example", "hello").await;
    assert_eq!(texts(&blue.api().hear(1).await), ["hello"]);
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}
