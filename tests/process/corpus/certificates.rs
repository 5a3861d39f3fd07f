//! Client certificates that prove nothing, in the handshake and in the header of a trusted proxy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, NameConstraints, SanType, date_time_ymd,
};
use reqwest::{Client, Identity};

use crate::corpus::area::repeat_area;
use crate::corpus::requests::judge;
use crate::corpus::table::NamedInput;
use crate::fixtures::node::GatewayProcess;
use crate::fixtures::raw::Raw;
use crate::tls::authority::{FileAuthority, LeafKind};

/// A CA that issues the certificates.
type Issuer = CertifiedIssuer<'static, KeyPair>;

fn valid(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2040, 1, 1));
}

fn expired(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(2025, 1, 1));
}

fn early(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(2039, 1, 1), date_time_ymd(2040, 1, 1));
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    valid(&mut params);
    change(&mut params);
    params
}

fn root(name: &str) -> Issuer {
    CertifiedIssuer::self_signed(authority(name, |_| {}), KeyPair::generate().expect("a key")).expect("a CA")
}

fn between(root: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::signed_by(authority("Between", change), key, root).expect("a CA")
}

/// A certificate as PEM, and its key.
struct MadeLeaf {
    cert: String,
    key: String,
}

/// Issues a certificate for blue.example, changed in this way.
fn leaf(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> MadeLeaf {
    let params = leaf_params(change);
    let key = KeyPair::generate().expect("a key");
    MadeLeaf { cert: params.signed_by(&key, issuer).expect("a certificate").pem(), key: key.serialize_pem() }
}

fn leaf_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["blue.example".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "blue.example");
    valid(&mut params);
    change(&mut params);
    params
}

fn named(names: &'static [&'static str]) -> impl FnOnce(&mut CertificateParams) {
    move |params| {
        params.subject_alt_names =
            names.iter().map(|name| SanType::DnsName((*name).try_into().expect("ASCII"))).collect();
    }
}

/// A caller with a certificate, and the name that it claims.
struct BadCertificate {
    name: &'static str,
    /// Leaf, and those between it and a root.
    chain: String,
    key: String,
    claim: &'static str,
    verdict: &'static str,
}

impl NamedInput for BadCertificate {
    fn name(&self) -> &str {
        self.name
    }
}

/// Returns the callers; the root is the one that red trusts.
fn callers(trusted: &Issuer) -> Vec<BadCertificate> {
    let foreign = root("Foreign");
    let same_name = root("Test CA");
    let expired_between = between(trusted, expired);
    let sound_between = between(trusted, |_| {});
    let no_ca = between(trusted, |params| params.is_ca = IsCa::ExplicitNoCa);
    let childless = between(trusted, |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let grandchild = between(&childless, |_| {});
    let constrained = between(trusted, |params| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("green.example".to_owned())];
        params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
    });
    let purpose = |purpose: ExtendedKeyUsagePurpose| {
        move |params: &mut CertificateParams| params.extended_key_usages = vec![purpose]
    };
    let own_key = KeyPair::generate().expect("a key");
    let self_signed = MadeLeaf {
        cert: leaf_params(|_| {}).self_signed(&own_key).expect("a certificate").pem(),
        key: own_key.serialize_pem(),
    };
    let by = |issuer: &Issuer, change: &dyn Fn(&mut CertificateParams)| leaf(issuer, change);
    let usual = |_: &mut CertificateParams| {};
    let behind = |mut leaf: MadeLeaf, issuers: &[&Issuer]| {
        issuers.iter().for_each(|issuer| leaf.cert += &issuer.pem());
        leaf
    };
    let address =
        |params: &mut CertificateParams| params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let mail = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::Rfc822Name("blue.example".try_into().expect("ASCII"))];
    };
    let uri = |params: &mut CertificateParams| {
        params.subject_alt_names = vec![SanType::URI("https://blue.example".try_into().expect("ASCII"))];
    };
    let blue = "blue.example";
    let all = [
        ("expired", by(trusted, &expired), blue, "401 CERTIFICATE_EXPIRED"),
        ("not_yet_valid", by(trusted, &early), blue, "401 CERTIFICATE_NOT_YET_VALID"),
        (
            "ca_as_leaf",
            leaf(trusted, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            blue,
            "401 CERTIFICATE_IS_A_CA",
        ),
        (
            "ca_that_issues_nothing",
            leaf(trusted, |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
            blue,
            "401 CERTIFICATE_IS_A_CA",
        ),
        (
            "purpose_code_signing",
            leaf(trusted, purpose(ExtendedKeyUsagePurpose::CodeSigning)),
            blue,
            "401 CERTIFICATE_WRONG_PURPOSE",
        ),
        (
            "purpose_mail",
            leaf(trusted, purpose(ExtendedKeyUsagePurpose::EmailProtection)),
            blue,
            "401 CERTIFICATE_WRONG_PURPOSE",
        ),
        (
            "purpose_ocsp",
            leaf(trusted, purpose(ExtendedKeyUsagePurpose::OcspSigning)),
            blue,
            "401 CERTIFICATE_WRONG_PURPOSE",
        ),
        ("issuer_foreign", by(&foreign, &usual), blue, "401 CERTIFICATE_UNKNOWN_ISSUER"),
        ("issuer_of_same_name", by(&same_name, &usual), blue, "401 CERTIFICATE_UNKNOWN_ISSUER"),
        ("self_signed", self_signed, blue, "401 CERTIFICATE_UNKNOWN_ISSUER"),
        ("link_missing", by(&sound_between, &usual), blue, "401 CERTIFICATE_UNKNOWN_ISSUER"),
        (
            "link_of_other_chain",
            behind(by(&sound_between, &usual), &[&expired_between]),
            blue,
            "401 CERTIFICATE_UNKNOWN_ISSUER",
        ),
        (
            "link_expired",
            behind(by(&expired_between, &usual), &[&expired_between]),
            blue,
            "401 CERTIFICATE_UNKNOWN_ISSUER",
        ),
        ("link_is_no_ca", behind(by(&no_ca, &usual), &[&no_ca]), blue, "401 CERTIFICATE_UNKNOWN_ISSUER"),
        (
            "link_below_childless_ca",
            behind(by(&grandchild, &usual), &[&grandchild, &childless]),
            blue,
            "401 CERTIFICATE_UNKNOWN_ISSUER",
        ),
        (
            "link_constrained_to_other_names",
            behind(by(&constrained, &usual), &[&constrained]),
            blue,
            "401 CERTIFICATE_UNKNOWN_ISSUER",
        ),
        ("name_of_other_peer", leaf(trusted, named(&["green.example"])), blue, "403 NOT_THE_SENDER"),
        ("name_of_stranger", leaf(trusted, named(&["stranger.example"])), blue, "403 NOT_THE_SENDER"),
        ("stranger_as_itself", leaf(trusted, named(&["stranger.example"])), "stranger.example", "403 FORBIDDEN"),
        ("name_above", leaf(trusted, named(&["example"])), blue, "403 NOT_THE_SENDER"),
        ("name_below", leaf(trusted, named(&["a.blue.example"])), blue, "403 NOT_THE_SENDER"),
        ("name_with_suffix", leaf(trusted, named(&["blue.example.evil.example"])), blue, "403 NOT_THE_SENDER"),
        ("name_in_subject_alone", leaf(trusted, named(&[])), blue, "401 CERTIFICATE_WRONG_NAME"),
        ("name_as_address", leaf(trusted, address), blue, "403 NOT_THE_SENDER"),
        ("name_as_mail", leaf(trusted, mail), blue, "401 CERTIFICATE_WRONG_NAME"),
        ("name_as_uri", leaf(trusted, uri), blue, "401 CERTIFICATE_WRONG_NAME"),
        ("wildcard_below_top_level", leaf(trusted, named(&["*.example"])), blue, "403 NOT_THE_SENDER"),
        ("wildcard_of_all", leaf(trusted, named(&["*"])), blue, "403 NOT_THE_SENDER"),
        (
            "wildcard_within_label",
            leaf(trusted, named(&["b*.wide.example"])),
            "blue.wide.example",
            "403 NOT_THE_SENDER",
        ),
        (
            "wildcard_over_two_labels",
            leaf(trusted, named(&["*.wide.example"])),
            "a.blue.wide.example",
            "403 NOT_THE_SENDER",
        ),
        ("wildcard_of_own_level", leaf(trusted, named(&["*.blue.example"])), blue, "403 NOT_THE_SENDER"),
        (
            "wildcard_in_second_label",
            leaf(trusted, named(&["blue.*.example"])),
            "blue.wide.example",
            "403 NOT_THE_SENDER",
        ),
        ("wildcard_without_claim", leaf(trusted, named(&["*.wide.example"])), "", "401 UNAUTHENTICATED"),
        (
            "two_peers_without_claim",
            leaf(trusted, named(&["blue.example", "green.example"])),
            "",
            "401 UNAUTHENTICATED",
        ),
        (
            "expired_of_other_name",
            leaf(trusted, |params| {
                expired(params);
                named(&["green.example"])(params);
            }),
            blue,
            "401 CERTIFICATE_EXPIRED",
        ),
        (
            "pinned_name_with_other_key",
            leaf(trusted, named(&["pink.example"])),
            "pink.example",
            "401 CERTIFICATE_NOT_PINNED",
        ),
    ];
    let input = |(name, leaf, claim, verdict): (_, MadeLeaf, _, _)| BadCertificate {
        name,
        chain: leaf.cert,
        key: leaf.key,
        claim,
        verdict,
    };
    all.into_iter().map(input).collect()
}

/// A value of the header in which a proxy passes a certificate; empty: it is absent.
struct BadHeader {
    name: &'static str,
    /// Address of the caller.
    from: u8,
    lines: Vec<String>,
    verdict: &'static str,
}

impl NamedInput for BadHeader {
    fn name(&self) -> &str {
        self.name
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn headers(trusted: &Issuer) -> Vec<BadHeader> {
    let sound = leaf(trusted, |_| {});
    let cut = &sound.cert[..sound.cert.len() / 2];
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let unreadable = "401 CERTIFICATE_UNREADABLE";
    let all = [
        ("header_absent", 1, vec![], "401 UNAUTHENTICATED"),
        ("header_empty", 1, vec![String::new()], "401 UNAUTHENTICATED"),
        ("header_word", 1, vec!["x".to_owned()], unreadable),
        ("header_dashes", 1, vec!["%2D%2D%2D%2D%2D".to_owned()], unreadable),
        ("header_percent_broken", 1, vec!["%zz%".to_owned()], unreadable),
        ("header_no_text", 1, vec!["%ff%fe%00".to_owned()], unreadable),
        ("header_two_certificates", 1, vec![encoded(&sound.cert.repeat(2))], unreadable),
        ("header_twice", 1, vec![encoded(&sound.cert), encoded(&sound.cert)], unreadable),
        ("header_cut_off", 1, vec![encoded(cut)], unreadable),
        ("header_empty_certificate", 1, vec![encoded(empty)], unreadable),
        ("header_certificate_of_zeros", 1, vec![encoded(&empty.replacen("-\n-", "-\nAAAAAAAA\n-", 1))], unreadable),
        ("header_key", 1, vec![encoded(&sound.key)], unreadable),
        ("header_certificate_and_key", 1, vec![encoded(&(sound.cert.clone() + &sound.key))], unreadable),
        (
            "header_in_base64_alone",
            1,
            vec![sound.cert.lines().filter(|line| !line.starts_with('-')).collect()],
            unreadable,
        ),
        ("header_expired", 1, vec![encoded(&leaf(trusted, expired).cert)], "401 CERTIFICATE_EXPIRED"),
        ("header_foreign", 1, vec![encoded(&leaf(&root("Foreign"), |_| {}).cert)], "401 CERTIFICATE_UNKNOWN_ISSUER"),
        (
            "header_of_other_peer",
            1,
            vec![encoded(&leaf(trusted, named(&["green.example"])).cert)],
            "403 NOT_THE_SENDER",
        ),
        ("header_by_no_proxy", 9, vec![encoded(&sound.cert)], "401 UNAUTHENTICATED"),
    ];
    all.into_iter().map(|(name, from, lines, verdict)| BadHeader { name, from, lines, verdict }).collect()
}

pub(super) fn names() -> Vec<String> {
    let trusted = root("Test CA");
    let names = callers(&trusted).into_iter().map(|input| input.name);
    names.chain(headers(&trusted).into_iter().map(|input| input.name)).map(str::to_owned).collect()
}

/// Returns a gateway that knows blue, green and names below wide.example by certificate, and pink by a pin.
fn knowing(trusted: &Issuer) -> (GatewayProcess, String) {
    let mut red = GatewayProcess::new("red.example");
    let ca = red.folder().join("clients.pem");
    fs::write(&ca, trusted.pem()).expect("written");
    for name in ["blue.example", "green.example", "blue.wide.example", "a.blue.wide.example"] {
        red.peer_section(name, "addresses = [\"http://127.0.0.1:9\"]\nauth = \"mtls\"");
    }
    let pin = format!("fingerprints = [\"sha256:{}\"]", "ab".repeat(32));
    red.peer_section("pink.example", &format!("addresses = [\"http://127.0.0.1:9\"]\nauth = \"mtls\"\n{pin}"));
    (red, format!("federation.tls.client_ca=\"{}\"", ca.display()))
}

/// Sends a push that changes nothing, as this caller.
async fn push(to: SocketAddr, chain: &str, key: &str, claim: &str) -> Result<(u16, String), String> {
    let identity = Identity::from_pem(format!("{chain}{key}").as_bytes()).map_err(|error| format!("{error:?}"))?;
    let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).resolve("red.example", to);
    let client = client.identity(identity).build().map_err(|error| format!("{error:?}"))?;
    let url = format!("https://red.example:{}/http/v1/updates", to.port());
    let mut request = client.post(url).body(r#"{"strong":[],"seq":0}"#);
    if !claim.is_empty() {
        request = request.header("Fernpost-Origin", claim);
    }
    let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
    let body: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let word = body["code"].as_str().or_else(|| body["receive"].as_str());
    Ok((status, word.unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn bad_certificates_get_their_verdicts() {
    let trusted = root("Test CA");
    let (mut red, ca) = knowing(&trusted);
    let own = FileAuthority::new().issue(red.folder(), "red", &["red.example"], LeafKind::Usual);
    red.tls("federation", &own.cert, &own.key);
    red.start_with(&[&ca]).await;
    let inputs = callers(&trusted);
    let to = red.federation;
    repeat_area("certificates", &inputs, &mut red, async |input| {
        let (status, word) = push(to, &input.chain, &input.key, input.claim).await?;
        let got = format!("{status} {word}");
        if got == input.verdict { Ok(()) } else { Err(format!("{got} instead of {}", input.verdict)) }
    })
    .await;
    let sound = leaf(&trusted, |_| {});
    assert_eq!(push(to, &sound.cert, &sound.key, "blue.example").await, Ok((200, "ok".to_owned())));
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn bad_certificate_headers_get_their_verdicts() {
    let trusted = root("Test CA");
    let (mut red, ca) = knowing(&trusted);
    let proxies = ["federation.trusted_proxies=[\"127.0.0.1/32\"]", "federation.client_cert_header=\"X-Client-Cert\""];
    red.start_with(&[proxies[0], proxies[1], &ca]).await;
    let to = red.federation;
    let sent = async |input: &BadHeader| {
        let lines: String = input.lines.iter().map(|value| format!("X-Client-Cert: {value}\r\n")).collect();
        let request = format!(
            "POST /http/v1/updates HTTP/1.1\r\nHost: red.example\r\nConnection: close\r\nFernpost-Origin: blue.example\r\n\
             X-Forwarded-For: 198.51.100.7\r\n{lines}Content-Length: 21\r\n\r\n{{\"strong\":[],\"seq\":0}}"
        );
        let from = Ipv4Addr::new(127, 0, 0, input.from);
        judge(&Raw::connect(from, to).await.reply(request.as_bytes()).await, input.verdict)
    };
    repeat_area("certificate headers", &headers(&trusted), &mut red, &sent).await;
    let sound = encoded(&leaf(&trusted, |_| {}).cert);
    sent(&BadHeader { name: "", from: 1, lines: vec![sound], verdict: "200 ok" }).await.expect("a sound certificate");
    let log = red.kill();
    assert!(!log.contains("panic") && !log.contains("ERROR"), "{log}");
}
