//! The ways to peers, and the rules for outbound requests.

use super::*;

#[test]
fn plain_http_needs_insecure_flag() {
    let at = |address: &str, more: &str| {
        let text = "[peers.server.\"blue.example\"]\nauth = \"network\"\nallow_from = [\"10.0.0.2/32\"]\n";
        load(&format!("{text}addresses = [\"{address}\"]\n{more}"))
    };
    assert!(at("http://127.0.0.1:9880", "").is_ok());
    assert!(at("http://localhost:9880", "").is_ok());
    assert!(at("http://10.0.0.2:9880", "insecure = true").is_ok());
    assert!(lines(at("http://10.0.0.2:9880", ""))[0].contains("set insecure = true if the link is private"));
    assert!(lines(at("http://blue.example", ""))[0].contains("is plain HTTP beyond this machine"));
    assert!(at("https://10.0.0.2:9880", "").is_ok());
    assert!(at("https://blue.example", "").is_ok());
    assert!(lines(at("https://blue.example/path", ""))[0].contains("an address ends with the port"));
    assert!(
        wrong("federation.listen = \"0.0.0.0:9880\"")[0].contains("set federation.tls.cert and federation.tls.key")
    );
}

#[test]
fn unaddressed_peer_is_looked_up() {
    let listed =
        |name: &str| format!("[peers.server.\"{name}\"]\nauth = \"network\"\nallow_from = [\"127.0.0.1/32\"]\n");
    for peer in ["127.0.0.1:9890", "blue.example", "10.0.0.2:9880"] {
        assert_eq!(good(&listed(peer)).peers.peer(&name(peer)).expect("listed").link.addresses, []);
    }
    let misspelt = listed("blue.example") + "adresses = [\"http://127.0.0.1:1\"]\n";
    assert_eq!(
        wrong(&misspelt),
        ["unknown key `peers.server.\"blue.example\".adresses` in configuration, line 5; did you mean `addresses`?"],
        "the consequences of an unknown key are not reported"
    );
}

#[test]
fn network_keys_set_the_lookups() {
    let set = "[network]\nresolvers = [\"127.0.0.1:5353\", \"::1\"]\ndns_timeout = \"2s\"\ndns_ttl_min = \"0s\"\n\
               dns_ttl_max = \"1m\"\ndns_failure_ttl = \"5s\"\nanswer_max = \"64KiB\"\nroots = [\"tls/roots.pem\"]\n";
    let network = good(set).network;
    let servers: Vec<String> = network.resolver.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.1:5353", "[::1]:53"]);
    let times = [network.resolver.timeout, network.resolver.ttl_min, network.resolver.ttl_max];
    assert_eq!(times.map(|time| time.as_secs()), [2, 0, 60]);
    assert_eq!((network.resolver.failure_ttl.as_secs(), network.answer_max), (5, 64 << 10));
    assert!(network.roots[0].ends_with("tls/roots.pem") && network.roots[0].is_absolute(), "{:?}", network.roots);
    assert!(wrong("network.resolvers = [\"dns.example\"]")[0].contains("is not the address of a name server"));
    assert!(wrong("network.dns_ttl_min = \"2h\"")[0].contains("it must not be below network.dns_ttl_min"));
    assert!(wrong("network.dns_timeout = \"0s\"")[0].contains("it must be more than 0"));
}
