//! The order of the pairs in `prev_pdus`, derived from known names and PDUs and from the look of the elements.

use actors::limits::InteropQuirks;
use actors::model::PduRef;
use actors::testkit::at_once;
use fernpost::wire::pdu::PairOrder::{IdFirst, OriginFirst};
use fernpost::wire::pdu::PduReader;
use fixtures::keys::TrustingRelayJudge;
use serde_json::value::RawValue;

use crate::circle::{Circle, name, reference};

/// Returns the parents of a PDU that green created and blue sent.
fn parents(circle: &Circle, prev: &str, usual: fernpost::wire::pdu::PairOrder) -> Vec<PduRef> {
    let pdu = format!(
        r#"{{"pdu_id":"i","origin":"green","context":"c","ts":1,"pdu_type":"t","content":{{}},"prev_pdus":{prev}}}"#
    );
    circle.read(&pdu, usual).expect("sound").prev
}

#[test]
fn known_names_decide_pair_order() {
    // The same pair, with one more known fact each time.
    let prev = r#"[["lime","mint"]]"#;
    let nothing = Circle::default();
    assert_eq!(parents(&nothing, prev, OriginFirst), [reference("lime", "mint")]);
    assert_eq!(parents(&nothing, prev, IdFirst), [reference("mint", "lime")]);
    let takes_part = Circle { participants: vec![name("mint")], ..Circle::default() };
    assert_eq!(parents(&takes_part, prev, OriginFirst), [reference("mint", "lime")]);
    let holds = Circle { held: vec![reference("lime", "mint")], ..takes_part };
    assert_eq!(parents(&holds, prev, IdFirst), [reference("lime", "mint")]);
    let broken = Circle { broken: true, ..holds };
    assert_eq!(parents(&broken, prev, IdFirst), [reference("mint", "lime")], "a failing store gives no indication");
}

/// A server of 2014 on a network with names without dots: its pairs give no indication, so its profile decides.
#[test]
fn sender_profile_decides_ambiguous_pairs() {
    let pdu: &RawValue = serde_json::from_str(
        r#"{"pdu_id":"i","origin":"hs2","context":"c","ts":1,"pdu_type":"t","content":{},"prev_pdus":[["JVlSCkGcSH","hs1"]]}"#,
    )
    .expect("JSON");
    let old = Circle {
        habits: InteropQuirks { pairs: IdFirst, raw_targets: true, ..InteropQuirks::default() },
        ..Circle::default()
    };
    for (circle, expected) in
        [(old, reference("hs1", "JVlSCkGcSH")), (Circle::default(), reference("jvlsckgcsh", "hs1"))]
    {
        let read = at_once(PduReader::new(&name("blue"), &circle, &TrustingRelayJudge).read(pdu)).expect("sound");
        assert_eq!(read.prev, [expected]);
    }
}

#[test]
fn store_is_asked_only_when_ambiguous() {
    let circle = Circle { held: vec![reference("id", "blue")], ..Circle::default() };
    for prev in [r#"[["blue","id"]]"#, r#"[["green","id"]]"#, r#"[["RED","id"],["x","y"]]"#, "[]"] {
        parents(&circle, prev, IdFirst);
    }
    assert_eq!(*circle.asked.lock().expect("not poisoned"), Vec::<&str>::new());
    parents(&circle, r#"[["x","y"],["v","w"]]"#, IdFirst);
    let asked = circle.asked.lock().expect("not poisoned");
    assert_eq!(asked.iter().filter(|what| **what == "known").count(), 1, "one look-up for all pairs");
}

#[test]
fn pairs_of_pdu_share_one_order() {
    let circle = Circle::default();
    let table: &[(&str, &[(&str, &str)])] = &[
        // An element is a known server: us, the sender, the origin.
        (r#"[["red","a"]]"#, &[("red", "a")]),
        (r#"[["a","red"]]"#, &[("red", "a")]),
        (r#"[["a","blue"]]"#, &[("blue", "a")]),
        (r#"[["a","GREEN"]]"#, &[("green", "a")]),
        // One decisive pair is enough for the others.
        (r#"[["a","b"],["c","red"]]"#, &[("b", "a"), ("red", "c")]),
        (r#"[["red","c"],["a","b"]]"#, &[("red", "c"), ("a", "b")]),
        // Ids are names of servers: pairs of two such elements give no indication, and the majority decides.
        (r#"[["red","blue"]]"#, &[("red", "blue")]),
        (r#"[["x","red"],["y","blue"],["green","z"]]"#, &[("red", "x"), ("blue", "y"), ("z", "green")]),
        // The form of the element decides.
        (r#"[["a","hs.example"]]"#, &[("hs.example", "a")]),
        (r#"[["a","hs:6000"]]"#, &[("hs:6000", "a")]),
        (r#"[["1404381395883","localhost"]]"#, &[("localhost", "1404381395883")]),
        (r#"[["a","10.0.0.1"]]"#, &[("10.0.0.1", "a")]),
        (r#"[["a","[::1]:80"]]"#, &[("[::1]:80", "a")]),
        (r#"[["hs.example","a"]]"#, &[("hs.example", "a")]),
        // An element that cannot be a server name is an id.
        (r#"[["$a!b","hs"]]"#, &[("hs", "$a!b")]),
        (r#"[["a.b!c","hs"]]"#, &[("hs", "a.b!c")]),
        (r#"[["a_b","hs"],["cd","ef"]]"#, &[("hs", "a_b"), ("ef", "cd")]),
        // Without an indication the sender's usual order decides.
        (r#"[["JVlSCkGcSH","hs1"]]"#, &[("jvlsckgcsh", "hs1")]),
        (r#"[["a.b","c.d"]]"#, &[("a.b", "c.d")]),
        // A third element is ignored.
        (r#"[["a","red",{"sha256":"x"}],["b","red",1,2,3]]"#, &[("red", "a"), ("red", "b")]),
        // Each parent is listed once.
        (r#"[["red","a"],["red","b"],["RED","a"]]"#, &[("red", "a"), ("red", "b")]),
    ];
    for (prev, expected) in table {
        let expected: Vec<PduRef> = expected.iter().map(|(origin, id)| reference(origin, id)).collect();
        assert_eq!(parents(&circle, prev, OriginFirst), expected, "{prev}");
    }
    assert_eq!(parents(&circle, r#"[["JVlSCkGcSH","hs1"]]"#, IdFirst), [reference("hs1", "JVlSCkGcSH")]);
}
