//! PDUs as bytes: read, normalized, refused alone, composed.

use std::sync::Arc;

use actors::model::{Digest, GraphPosition, Millis, PduDraft, StateSlot};
use actors::ports::PduText;
use actors::testkit::at_once;
use bytes::Bytes;
use fernpost::json::nesting::BodyNestingLimit;
use fernpost::wire::pdu::{ContentText, PDU_NESTING_MAX, PairOrder, PduReader, shown};
use fernpost::wire::updates::envelope::{decode, decode_within};
use fixtures::keys::TrustingRelayJudge;
use proptest::prelude::*;

use crate::circle::{Circle, name, reference, text};

fn stored(pdu: &str) -> String {
    match Circle::default().read(pdu, PairOrder::OriginFirst) {
        Ok(pdu) => text(&pdu.bytes).to_owned(),
        Err(bad) => panic!("{bad:?}"),
    }
}

#[test]
fn pdus_have_one_stored_form() {
    for (came, expected) in [
        (include_str!("golden/pdus/published.json"), include_str!("golden/pdus/published.stored.json")),
        (include_str!("golden/pdus/published_state.json"), include_str!("golden/pdus/published_state.stored.json")),
        (include_str!("golden/pdus/old_row.json"), include_str!("golden/pdus/old_row.stored.json")),
        (include_str!("golden/pdus/old_state_row.json"), include_str!("golden/pdus/old_state_row.stored.json")),
        (include_str!("golden/pdus/old_member.json"), include_str!("golden/pdus/old_member.stored.json")),
        (include_str!("golden/pdus/exact.json"), include_str!("golden/pdus/exact.stored.json")),
    ] {
        assert_eq!(stored(came), expected.trim_end());
        assert_eq!(stored(expected), expected.trim_end(), "a normalized PDU stays unchanged");
    }
}

#[test]
fn pdu_reader_extracts_core_fields() {
    let circle = Circle::default();
    let state = include_str!("golden/pdus/published_state.json");
    let pdu = circle.read(state, PairOrder::OriginFirst).expect("sound");
    assert_eq!(pdu.reference, reference("green", "a4ecee13e2accdadf56c1025af232176"));
    assert_eq!((pdu.context.as_str(), &*pdu.kind, pdu.depth), ("#example.green", "m.topic", None));
    let prev = reference("blue", "99d16afbc857975916f1d73e49e52b65");
    assert_eq!(pdu.prev, std::slice::from_ref(&prev));
    assert_eq!(pdu.state, Some(StateSlot { key: String::new(), power_level: 10, prev: Some(prev), member: None }));
    let exact = circle.read(include_str!("golden/pdus/exact.json"), PairOrder::OriginFirst).expect("sound");
    assert_eq!((exact.depth, exact.state), (Some(9_007_199_254_740_991), None));
    assert_eq!(exact.prev, [reference("red", "r1"), reference("blue", "b1")], "each parent once");
}

/// Returns a valid PDU with some keys set, or (`""`) left out.
fn with(changes: &[(&str, &str)]) -> String {
    let sound = [
        ("pdu_id", "\"i\""),
        ("origin", "\"blue\""),
        ("context", "\"c\""),
        ("ts", "1"),
        ("pdu_type", "\"t\""),
        ("content", "{}"),
    ];
    let changed = |key: &str| changes.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
    let kept = sound.iter().map(|(key, value)| (*key, changed(key).unwrap_or(value)));
    let added = changes.iter().filter(|(key, _)| sound.iter().all(|(other, _)| other != key)).copied();
    let members: Vec<String> = kept
        .chain(added)
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("\"{key}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Returns one key of the PDU as it is stored; `None` if it is absent.
fn stored_key(pdu: &str, key: &str) -> Option<String> {
    let members: std::collections::HashMap<String, &serde_json::value::RawValue> =
        serde_json::from_str(pdu).expect("an object");
    members.get(key).map(|value| value.get().to_owned())
}

#[test]
fn equivalent_values_store_alike() {
    let state =
        |key: &'static str, value: &'static str| vec![("is_state", "true"), ("state_key", "\"k\""), (key, value)];
    for (changes, key, expected) in [
        (vec![], "is_state", Some("false")),
        (vec![("signatures", "{}")], "is_state", None),
        (vec![("signatures", "{}"), ("is_state", "0")], "is_state", Some("false")),
        (vec![("is_state", "null")], "is_state", Some("false")),
        (vec![("is_state", "0")], "is_state", Some("false")),
        (vec![("is_state", "1"), ("state_key", "\"k\"")], "is_state", Some("true")),
        (vec![], "prev_pdus", Some("[]")),
        (vec![("prev_pdus", "null")], "prev_pdus", Some("[]")),
        (vec![("prev_pdus", "[ ]")], "prev_pdus", Some("[]")),
        (vec![], "depth", None),
        (vec![("depth", "null")], "depth", None),
        (vec![("depth", "0")], "depth", Some("0")),
        (vec![("depth", "9007199254740991")], "depth", Some("9007199254740991")),
        (vec![("depth", "9007199254740992")], "depth", None),
        (vec![("depth", "-1")], "depth", None),
        (vec![("depth", "1.0")], "depth", None),
        (vec![("depth", "\"1\"")], "depth", None),
        (vec![("depth", "[]")], "depth", None),
        (state("power_level", "null"), "power_level", None),
        (state("power_level", "0"), "power_level", Some("0")),
        (state("power_level", "\"-7\""), "power_level", Some("-7")),
        (state("power_level", "9223372036854775807"), "power_level", Some("9223372036854775807")),
        (state("power_level", "\"-9223372036854775808\""), "power_level", Some("-9223372036854775808")),
        (vec![("state_key", "\"k\"")], "state_key", Some("\"k\"")),
        (vec![("power_level", "\"high\"")], "power_level", Some("\"high\"")),
        (vec![("ts", "-1.50E+3")], "ts", Some("-1.50E+3")),
        (vec![("content", "\"text\"")], "content", Some("\"text\"")),
        (vec![("origin", "\"BLUE\"")], "origin", Some("\"blue\"")),
        (vec![("pdu_type", "\"\"")], "pdu_type", Some("\"\"")),
        (vec![("outlier", "true")], "outlier", None),
        (vec![("user_id", "null")], "user_id", None),
    ] {
        let pdu = with(&changes);
        assert_eq!(stored_key(&stored(&pdu), key).as_deref(), expected, "{key} of {pdu}");
    }
}

/// Returns invalid PDUs, each tested between two valid ones in a transaction of its own; see `transactions.rs`.
pub(crate) fn bad_pdus() -> Vec<(String, &'static str)> {
    let long = format!("\"{}\"", "x".repeat(256));
    let deep = format!("{}{}", "[".repeat(PDU_NESTING_MAX), "]".repeat(PDU_NESTING_MAX));
    let parents = format!("[{}]", vec!["[\"blue\",\"p\"]"; 21].join(","));
    let keys: String = (0..1000).map(|i| format!("\"k{i}\":0,")).collect();
    let bad = |key: &'static str, value: &str, code: &'static str| (with(&[(key, value)]), code);
    let state = |key: &'static str, value: &str, code: &'static str| {
        let mut keys = vec![("is_state", "true"), (key, value)];
        if key != "state_key" {
            keys.push(("state_key", "\"k\""));
        }
        (with(&keys), code)
    };
    let mut table = vec![
        ("null".to_owned(), "NOT_AN_OBJECT"),
        ("[]".to_owned(), "NOT_AN_OBJECT"),
        ("7".to_owned(), "NOT_AN_OBJECT"),
        ("\"{}\"".to_owned(), "NOT_AN_OBJECT"),
        ("{}".to_owned(), "MISSING_KEY"),
        (format!("{{{keys}{}", &with(&[])[1..]), "BAD_KEYS"),
        (format!("{{\"\\ud800\":1,{}", &with(&[])[1..]), "BAD_KEYS"),
        (format!("{{\"x\":1,\"x\":1,{}", &with(&[])[1..]), "DUPLICATE_KEY"),
        (format!("{{\"pdu_id\":\"i\",{}", &with(&[])[1..]), "DUPLICATE_KEY"),
        (format!("{{\"\\u0074s\":2,{}", &with(&[])[1..]), "DUPLICATE_KEY"),
        bad("content", &deep, "TOO_DEEP"),
        bad("pdu_id", "7", "BAD_ID"),
        bad("pdu_id", "\"\"", "BAD_ID"),
        bad("pdu_id", "\"a\\nb\"", "BAD_ID"),
        bad("pdu_id", "\"\\ud800\"", "BAD_ID"),
        bad("pdu_id", &long, "BAD_ID"),
        bad("pdu_id", "[\"blue\",\"i\"]", "BAD_ID"),
        bad("origin", "7", "BAD_ORIGIN"),
        bad("origin", "\"\"", "BAD_ORIGIN"),
        bad("origin", "\"bl ue\"", "BAD_ORIGIN"),
        bad("origin", "\"blue/\"", "BAD_ORIGIN"),
        bad("context", "7", "BAD_CONTEXT"),
        bad("context", "\"\"", "BAD_CONTEXT"),
        bad("context", "\"a\\u0000\"", "BAD_CONTEXT"),
        bad("context", &long, "BAD_CONTEXT"),
        bad("ts", "\"1\"", "BAD_TS"),
        bad("ts", "true", "BAD_TS"),
        bad("ts", "[1]", "BAD_TS"),
        bad("ts", "{}", "BAD_TS"),
        bad("pdu_type", "7", "BAD_TYPE"),
        bad("pdu_type", "{}", "BAD_TYPE"),
        bad("pdu_type", &long, "BAD_TYPE"),
        bad("is_state", "2", "BAD_IS_STATE"),
        bad("is_state", "\"true\"", "BAD_IS_STATE"),
        bad("is_state", "1.0", "BAD_IS_STATE"),
        bad("is_state", "[]", "BAD_IS_STATE"),
        bad("is_state", "true", "MISSING_KEY"),
        state("state_key", "null", "MISSING_KEY"),
        state("state_key", "7", "BAD_STATE_KEY"),
        state("state_key", &long, "BAD_STATE_KEY"),
        state("power_level", "1.5", "BAD_POWER_LEVEL"),
        state("power_level", "1e3", "BAD_POWER_LEVEL"),
        state("power_level", "\"\"", "BAD_POWER_LEVEL"),
        state("power_level", "\"ten\"", "BAD_POWER_LEVEL"),
        state("power_level", "\"+1\"", "BAD_POWER_LEVEL"),
        state("power_level", "\" 1\"", "BAD_POWER_LEVEL"),
        state("power_level", "\"01\"", "BAD_POWER_LEVEL"),
        state("power_level", "true", "BAD_POWER_LEVEL"),
        state("power_level", "9223372036854775808", "BAD_POWER_LEVEL"),
        state("power_level", "\"-9223372036854775809\"", "BAD_POWER_LEVEL"),
        state("prev_state_id", "\"p\"", "BAD_PREV_STATE"),
        state("prev_state_origin", "\"blue\"", "BAD_PREV_STATE"),
        bad("prev_pdus", "{}", "BAD_PREV_PDUS"),
        bad("prev_pdus", "\"p\"", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[\"p\"]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"blue\"]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[null]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"blue\",7]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"blue\",null]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"blue\",\"\"]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"b/\",\"p/\"]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", "[[\"blue\",\"p\"],[\"/\",\"p\"]]", "BAD_PREV_PDUS"),
        bad("prev_pdus", &parents, "TOO_MANY_PARENTS"),
    ];
    for key in ["pdu_id", "origin", "context", "ts", "pdu_type", "content"] {
        table.push(bad(key, "", "MISSING_KEY"));
        table.push(bad(key, "null", "MISSING_KEY"));
    }
    for (id, origin) in [("7", "\"blue\""), ("\"p\"", "7"), ("\"\"", "\"blue\""), ("\"p\"", "\"/\"")] {
        let keys = [("is_state", "true"), ("state_key", "\"k\""), ("prev_state_id", id), ("prev_state_origin", origin)];
        table.push((with(&keys), "BAD_PREV_STATE"));
    }
    table
}

#[test]
fn refused_pdu_is_named_if_readable() {
    let refused = |pdu: &str| {
        let bad = Circle::default().read(pdu, PairOrder::OriginFirst).expect_err("refused");
        (bad.id, bad.origin, bad.code, bad.reason)
    };
    let some = |text: &str| Some(text.to_owned());
    let (id, origin, ..) = refused(&with(&[("ts", "null"), ("origin", "\"GREEN\"")]));
    assert_eq!((id, origin), (some("i"), some("GREEN")));
    let (id, origin, ..) = refused(&with(&[("pdu_id", "7"), ("origin", "\"b/\"")]));
    assert_eq!((id, origin), (None, some("b/")));
    let long = format!("\"{}\"", "x".repeat(300));
    let (id, _, code, reason) = refused(&with(&[("pdu_id", &long)]));
    assert_eq!((id, code), (None, "BAD_ID"));
    assert_eq!(reason, "pdu_id: an id is 1 to 255 bytes without control characters");
    let parents = format!("[{}]", vec!["[\"blue\",\"p\"]"; 21].join(","));
    let (.., reason) = refused(&with(&[("prev_pdus", &parents)]));
    assert_eq!(reason, "a PDU names at most 20 parents, this one names 21");
}

#[test]
fn largest_valid_pdu_is_accepted() {
    let parents: Vec<String> = (0..20).map(|i| format!("[\"blue\",\"p{i}\"]")).collect();
    let nested = format!("{}{}", "[".repeat(PDU_NESTING_MAX - 1), "]".repeat(PDU_NESTING_MAX - 1));
    let pdu = with(&[("prev_pdus", &format!("[{}]", parents.join(","))), ("content", &nested)]);
    assert_eq!(Circle::default().read(&pdu, PairOrder::OriginFirst).expect("sound").prev.len(), 20);
}

#[test]
fn served_pdu_gets_computed_depth() {
    let bytes = Bytes::from(stored(&with(&[("x", "[1, 2]")])));
    let deep = r#"{"pdu_id":"i","origin":"blue","context":"c","ts":1,"pdu_type":"t","prev_pdus":[],"depth":7,"is_state":false,"content":{},"x":[1, 2]}"#;
    for pairs in [PairOrder::OriginFirst, PairOrder::IdFirst] {
        assert_eq!(text(&shown(&bytes, Some(7), pairs)), deep);
        assert_eq!(
            text(&shown(&Bytes::from(deep), Some(9), pairs)),
            deep,
            "a depth stated by the origin is not changed"
        );
    }
}

/// A server of 2014 that receives pairs in our order does not report an error: it requests PDUs that do not exist, for
/// ever.
#[test]
fn pairs_are_swapped_for_synapse() {
    let content = r#"{"prev_pdus": [["blue","b1"]], "n": 1e2}"#;
    let came =
        with(&[("prev_pdus", r#"[["blue","b1"],["\u0067reen","g \"1\""]]"#), ("content", content), ("depth", "3")]);
    let bytes = Bytes::from(stored(&came));
    let ours = r#""prev_pdus":[["blue","b1"],["green","g \"1\""]],"depth":3"#;
    let theirs = r#""prev_pdus":[["b1","blue"],["g \"1\"","green"]],"depth":3"#;
    assert!(text(&bytes).contains(ours), "{}", text(&bytes));
    let turned = shown(&bytes, None, PairOrder::IdFirst);
    assert_eq!(text(&turned), text(&bytes).replace(ours, theirs), "no other byte changes");
    assert_eq!(stored(text(&turned)), text(&bytes), "reading it returns the same PDU");
    assert_eq!(shown(&bytes, None, PairOrder::OriginFirst), bytes);
}

fn draft(state: Option<(String, i64)>, content: &str, extra: Vec<(String, Bytes)>) -> PduDraft {
    PduDraft {
        receipt: false,
        submission: "m1".parse().expect("an id"),
        digest: Digest([0; 16]),
        accepted: Millis(1_404_838_188_000),
        id: "a4ecee13e2accdadf56c1025af232176".parse().expect("an id"),
        kind: Arc::from("m.text"),
        content: Bytes::copy_from_slice(content.as_bytes()),
        state,
        to: None,
        extra,
    }
}

fn berth() -> GraphPosition {
    GraphPosition {
        context: "#example.green".parse().expect("an id"),
        prev: vec![reference("blue", "b1"), reference("green", "g1")],
        depth: 8,
        prev_state: Some(reference("green", "s1")),
        to: None,
        sign: false,
    }
}

#[test]
fn a_narrowed_pdu_names_its_servers() {
    let read = |pdu: &str| Circle::default().read(pdu, PairOrder::OriginFirst);
    let narrowed = read(&with(&[("to", "[ \"red:80\", \"Blue\"]")])).expect("sound");
    assert_eq!(narrowed.to, Some(vec![name("red:80"), name("blue")]));
    assert!(!narrowed.is_for(&name("green")) && narrowed.is_for(&name("blue")));
    assert!(
        text(&narrowed.bytes).contains("\"is_state\":false,\"to\":[ \"red:80\", \"Blue\"],\"content\""),
        "the text is that which was signed"
    );
    assert_eq!(read(text(&narrowed.bytes)), Ok(narrowed));
    for other in ["\"red\"", "7", "{\"to\":[\"red\"]}"] {
        let pdu = read(&with(&[("to", other)])).expect("sound");
        assert_eq!(pdu.to, None, "an unknown key: {other}");
        assert_eq!(stored_key(text(&pdu.bytes), "to").as_deref(), Some(other));
    }
    for bad in ["[]", "[7]", "[\"a b\"]", "[[\"red\"]]", "[\"red\"]"] {
        assert_eq!(read(&with(&[("to", bad)])).expect_err(bad).code, "BAD_TO", "{bad}");
    }
    let state = with(&[("to", "[\"blue\"]"), ("is_state", "true"), ("state_key", "\"\"")]);
    assert_eq!(read(&state).expect_err("state is for everybody").code, "BAD_TO");
    let to = Some(vec![name("blue"), name("red")]);
    let composed = ContentText::default().compose(
        &name("red"),
        &draft(None, "{}", vec![]),
        &GraphPosition { to: to.clone(), ..berth() },
    );
    assert_eq!(read(text(&composed)).expect("our own").to, to);
}

#[test]
fn composed_message_has_stored_form() {
    let extra =
        [("user_id", "\"@a:red\""), ("\"é\n", "[1, 2e3]"), ("depth", "1"), ("outlier", "true"), ("none", " null")];
    let extra = || extra.map(|(key, value)| (key.to_owned(), Bytes::from_static(value.as_bytes()))).to_vec();
    let message = ContentText::default().compose(
        &name("red"),
        &draft(None, "{\"n\": 1208925819614629174706177}", extra()),
        &berth(),
    );
    let expected = concat!(
        r##"{"pdu_id":"a4ecee13e2accdadf56c1025af232176","origin":"red","context":"#example.green","ts":1404838188000,"##,
        r#""pdu_type":"m.text","prev_pdus":[["blue","b1"],["green","g1"]],"depth":8,"is_state":false,"#,
        r#""content":{"n": 1208925819614629174706177},"user_id":"@a:red","\"é\n":[1, 2e3]}"#
    );
    assert_eq!(text(&message), expected);
    assert_eq!(stored(expected), expected);
    let state = ContentText::default().compose(&name("red"), &draft(Some(("k".into(), -1)), "[]", vec![]), &berth());
    let expected = concat!(
        r#""depth":8,"is_state":true,"state_key":"k","power_level":-1,"prev_state_id":"s1","prev_state_origin":"green","#,
        r#""content":[]}"#
    );
    assert!(text(&state).ends_with(expected), "{}", text(&state));
    assert_eq!(stored(text(&state)), text(&state));
}

/// Generates JSON that parsers of numbers and strings would write differently.
fn raw_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("1208925819614629174706177".to_owned()),
        Just("-0".to_owned()),
        Just("1.0e+2".to_owned()),
        Just(r#""\u00e9\/\ud800""#.to_owned()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        any::<f64>().prop_map(|n| serde_json::Value::from(n).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(inner, 0..4).prop_map(|items| {
                let members: Vec<String> = items.iter().map(|item| format!("\"k\\u0061\" :{item}")).collect();
                format!("{{ {} }}", members.join(","))
            }),
        ]
    })
}

fn some_pdu() -> impl Strategy<Value = String> {
    let keys = ["pdu_id", "origin", "context", "ts", "pdu_type", "prev_pdus", "depth", "is_state", "state_key", "x"];
    let values = [
        "\"blue\"",
        "1",
        "null",
        "true",
        "[[\"blue\",\"p\"]]",
        "[[\"p\",\"blue\"],[\"a.b\",\"c:1\"]]",
        "{}",
        "\"\"",
        "[[\"blue\",\"i\"]]",
        "[[\"i\",\"blue\"]]",
        "\"bl\\u0075e\"",
        "\"BLUE\"",
    ];
    let change = (prop::sample::select(keys.to_vec()), prop::sample::select(values.to_vec()));
    prop::collection::vec(change, 0..6).prop_map(|changes| {
        let once = changes.iter().enumerate().filter(|(i, (key, _))| changes[..*i].iter().all(|(k, _)| k != key));
        with(&once.map(|(_, change)| *change).collect::<Vec<_>>())
    })
}

proptest! {
    #[test]
    fn content_and_unknown_keys_keep_bytes(content in raw_json(), unknown in raw_json()) {
        prop_assume!(content != "null" && unknown != "null");
        let came = with(&[("content", &content), ("unknown", &unknown)]);
        let stored = stored(&came);
        let tail = format!("\"content\":{},\"unknown\":{}}}", content, unknown);
        prop_assert!(stored.ends_with(&tail), "{}", stored);
    }

    /// PDUs of a batch share what is the same with the one before.
    #[test]
    fn batch_reads_like_single_pdus(came in prop::collection::vec(some_pdu(), 1..6)) {
        let updates: Vec<String> = came.iter().map(|pdu| format!("{{\"update\":\"pdu\",\"pdu\":{pdu}}}")).collect();
        let body = Bytes::from(format!("{{\"strong\":[{}],\"seq\":9}}", updates.join(",")));
        let (circle, sender, nesting) = (Circle::default(), name("blue"), BodyNestingLimit::default());
        let reader = PduReader::new(&sender, &circle, &TrustingRelayJudge);
        let together = at_once(decode_within(&body, (100, &nesting), &reader, "network"));
        let alone = at_once(decode(&body, 100, &reader, "network"));
        prop_assert_eq!(format!("{together:?}"), format!("{alone:?}"));
    }

    #[test]
    fn stored_pdu_round_trips(came in some_pdu()) {
        let circle = Circle::default();
        if let Ok(pdu) = circle.read(&came, PairOrder::OriginFirst) {
            let again = circle.read(text(&pdu.bytes), PairOrder::OriginFirst);
            prop_assert_eq!(again, Ok(pdu));
        }
    }

    #[test]
    fn composed_pdu_round_trips(content in raw_json(), extra in raw_json(), key: String) {
        let drafted = draft(None, &content, vec![(key, Bytes::from(extra))]);
        let composed = ContentText::default().compose(&name("red"), &drafted, &berth());
        let pdu = Circle::default().read(text(&composed), PairOrder::OriginFirst).expect("our own PDU");
        prop_assert_eq!(pdu.bytes, composed);
        prop_assert_eq!(pdu.prev, berth().prev);
    }
}
