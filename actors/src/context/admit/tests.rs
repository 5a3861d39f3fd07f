//! Printed traces of admission: which PDUs are accepted, refused, or quarantined.

use crate::context::tests::harness::{MachineHarness, at, pdu, pdus, server};
use crate::limits::ContextLimits;
use crate::model::{ParkedCode, Pdu, PduProof};

#[test]
fn named_origin_is_not_let_in() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.compose("1", "");
    assert_eq!(desk.record().participants, [server("green")]);
    desk.log.retain(|line| line.starts_with("composed"));
    desk.expect(&["composed us/1 for [green]"]);
    desk.until(750);
    desk.expect(&["-- 750", "fetch red/1 from green"]);
    desk.fetched("green", "red/1", true, pdus("red/1<pink/1"));
    desk.expect(&["hold red/1 for [pink/1], edge"]);
    desk.until(1500);
    desk.log.clear();
    desk.fetched("green", "pink/1", true, pdus("pink/1"));
    desk.expect(&["deliver pink/1 at 0", "deliver red/1 at 1", "deliver green/1 at 2"]);
    desk.arrive("red", pdus("red/2<red/1"));
    let park = "park Pdu { origin: Some(\"red\"), id: Some(\"2\"), context: Some(room) } of red";
    desk.expect(&[park, "release red/2", "verdicts parked:NOT_A_PARTICIPANT"]);
    assert_eq!(desk.record().participants, [server("green")]);
}

/// The origin may send the parent by itself before the parent is requested.
#[test]
fn awaited_edge_parent_accepted_from_origin() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1,pink/1"));
    desk.restart();
    desk.log.clear();
    desk.arrive("red", pdus("red/1 pink/1"));
    let refused = "verdicts accepted refused:SENDER_NOT_A_PARTICIPANT";
    desk.expect(&["deliver red/1 at 0", "release pink/1", refused]);
    desk.arrive("green", pdus("pink/1"));
    desk.expect(&["deliver pink/1 at 0", "deliver green/1 at 1", "verdicts accepted"]);
    assert_eq!(desk.record().participants, [server("green")]);
}

/// The origin of a parent at the edge is asked as well, because the sender of the child may not have the parent.
#[test]
fn edge_parent_requested_from_origin() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1<red/1"));
    desk.until(750);
    desk.fetched("green", "red/1", true, vec![]);
    desk.log.retain(|line| line.starts_with("fetch"));
    desk.expect(&["fetch red/1 from green", "fetch red/1 from red"]);
    desk.fetched("red", "red/1", true, pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "deliver green/1 at 1"]);
}

/// Regression: a non-participant's copy that arrived first blocked the origin's own copy, which was answered `parked` and
/// not kept.
#[test]
fn own_copy_wins_over_relayed() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("green/1<green/9"));
    desk.arrive("green", pdus("green/1"));
    desk.arrive("green", pdus("green/1"));
    let of =
        |from: &str| format!("park Pdu {{ origin: Some(\"green\"), id: Some(\"1\"), context: Some(room) }} of {from}");
    let (verdicts, release) = ("verdicts parked:NOT_A_PARTICIPANT", "release green/1");
    desk.expect(&[&of("red"), release, verdicts, &of("green"), release, verdicts, release, verdicts]);
    desk.participants("red green");
    desk.take_back();
    desk.expect(&["set [red, green]", "deliver green/1 at 0"]);
    assert!(desk.kept.is_empty(), "the relayed copy has left too");
}

#[test]
fn relayed_by_stranger_refused_not_kept() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("green", pdus("red/1 blue/1"));
    let refused = "verdicts refused:SENDER_NOT_A_PARTICIPANT refused:SENDER_NOT_A_PARTICIPANT";
    desk.expect(&["release red/1", "release blue/1", refused]);
    assert!(desk.kept.is_empty());
    desk.arrive("red", pdus("red/1"));
    desk.expect(&["deliver red/1 at 0", "verdicts accepted"]);
}

/// `green/1` without a proof, for which `code` is the reason.
fn unproved(text: &str, code: ParkedCode) -> Vec<Pdu> {
    let proof = PduProof::missing(code, "no proof".to_owned());
    pdus(text).into_iter().map(|pdu| Pdu { proof: proof.clone(), ..pdu }).collect()
}

/// The first copy of a PDU stays, whatever proof a later one lacks; a refused one leaves room for one with a proof.
#[test]
fn unproved_pdu_is_refused_unless_known() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1"));
    desk.arrive("red", unproved("green/1 green/2", ParkedCode::BadPduSignature));
    desk.arrive("red", pdus("green/2"));
    desk.expect(&[
        "deliver green/1 at 0",
        "verdicts accepted",
        "release green/2",
        "verdicts duplicate refused:BAD_PDU_SIGNATURE",
        "deliver green/2 at 0",
        "verdicts accepted",
    ]);
}

/// Only a participant's word is examined, and an unproved PDU brings no context and no participant about.
#[test]
fn unproved_pdu_admits_nobody() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("blue", unproved("red/1", ParkedCode::PduNotSigned));
    desk.arrive("red", unproved("green/1", ParkedCode::PduNotSigned));
    let stranger = "verdicts refused:SENDER_NOT_A_PARTICIPANT";
    desk.expect(&["release red/1", stranger, "release green/1", "verdicts refused:PDU_NOT_SIGNED"]);
    let mut desk = MachineHarness::new(ContextLimits { open: true, ..ContextLimits::default() });
    desk.arrive("red", unproved("green/1", ParkedCode::UnknownKey));
    desk.expect(&["release green/1", "verdicts refused:UNKNOWN_KEY"]);
    assert!(desk.record.is_none());
}

/// These PDUs with a valid signature of their origin.
fn signed(text: &str) -> Vec<Pdu> {
    pdus(text).into_iter().map(|pdu| Pdu { proof: PduProof::Signature, ..pdu }).collect()
}

/// Our store was restored from a backup. What we had signed comes back as ours: the messenger gets no event of it, and what it
/// says next follows it.
#[test]
fn own_signed_pdu_is_taken_back() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("us/1"));
    desk.arrive("red", signed("us/2<us/1 red/1<us/2"));
    desk.expect(&[
        "release us/1",
        "verdicts refused:OWN_ORIGIN_UNKNOWN",
        "hold us/2 for [us/1]",
        "hold red/1 for [us/2]",
        "verdicts held held",
    ]);
    desk.until(750);
    desk.log.clear();
    desk.fetched("red", "us/1", true, signed("us/1"));
    desk.expect(&["take back us/1 at 1", "take back us/2 at 2", "deliver red/1 at 2"]);
    desk.compose("3", "");
    desk.arrive("red", signed("us/1"));
    desk.expect(&[
        "send us/3 prev [red/1] depth 3 replaces None to [red, green]",
        "composed us/3 for [red, green]",
        "verdicts duplicate",
    ]);
    assert_eq!(desk.record().participants, [server("red"), server("green")]);
}

/// In a context that is new to us, too, and as history.
#[test]
fn own_signed_pdu_begins_context() {
    let mut desk = MachineHarness::new(ContextLimits { open: true, ..ContextLimits::default() });
    desk.arrive("red", signed("us/1=topic"));
    desk.expect(&["take back us/1 at 1", "state topic = us/1", "verdicts accepted"]);
    assert_eq!(desk.record().participants, [server("red")]);
    let mut desk = MachineHarness::among("red");
    desk.join("red", 10);
    desk.told_of_the_past(Some(signed("us/1=topic us/2=name")));
    desk.log.retain(|line| line.starts_with("take back"));
    desk.expect(&["take back us/1 at -1", "take back us/2 at 0"]);
}

#[test]
fn unproved_history_is_left_out() {
    let mut desk = MachineHarness::among("red green");
    desk.join("red", 10);
    let state = unproved("green/1=topic", ParkedCode::PduNotSigned);
    desk.told_of_the_past(Some([state, pdus("red/1=name")].concat()));
    desk.log.retain(|line| line.starts_with("deliver") || line.starts_with("release"));
    desk.expect(&["deliver red/1 at 0 as history", "release green/1"]);
}

#[test]
fn open_conversation_takes_what_strangers_relay() {
    let mut desk = MachineHarness::new(ContextLimits { open: true, ..ContextLimits::default() });
    desk.participants("red");
    desk.log.clear();
    desk.arrive("green", pdus("red/1 blue/1"));
    desk.expect(&["deliver blue/1 at 0", "deliver red/1 at 0", "verdicts accepted accepted"]);
    assert_eq!(desk.record().participants, [server("red"), server("blue")]);
}

/// Regression: others named it as a parent, and servers that had not received it requested it in vain.
#[test]
fn a_narrowed_pdu_is_no_head() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("red/1 red/2<red/1>red,us"));
    desk.compose("1", "");
    desk.arrive("green", pdus("green/2<green/1>green,us"));
    desk.restart();
    desk.arrive("green", pdus("green/1<us/1"));
    desk.compose("2", "");
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&[
        "send us/1 prev [red/1] depth 1 replaces None to [red, green]",
        "send us/2 prev [green/1] depth 3 replaces None to [red, green]",
    ]);
}

#[test]
fn narrowed_pdu_recorded_by_name() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("green", pdus("green/1<red/2 green/2<red/2,red/9"));
    desk.until(10);
    desk.log.clear();
    desk.arrive("red", pdus("red/1 red/2<red/1>green,red"));
    let verdicts = "verdicts accepted accepted";
    desk.expect(&["name red/2 at 0", "deliver red/1 at 0", "deliver green/1 at 1", verdicts]);
    desk.arrive("red", pdus("red/2<red/1>green,red"));
    desk.expect(&["verdicts duplicate"]);
    // A narrowed PDU that was given up fills its gap without an event.
    while !desk.gaps.contains_key(&at("red/9")) {
        desk.until(desk.now.0 + 1000);
        for (from, wanted) in desk.asked.clone() {
            desk.fetched(from.as_str(), &wanted.to_string(), true, vec![]);
        }
    }
    desk.log.clear();
    desk.arrive("red", pdus("red/9>green,red"));
    desk.expect(&["name red/9 at 0", "verdicts accepted"]);
    assert!(desk.gaps.is_empty() && desk.machine.is_idle());
    desk.restart();
    desk.arrive("red", pdus("red/10<red/9"));
    desk.log.retain(|line| line.starts_with("deliver"));
    desk.expect(&["deliver red/10 at 1"]);
}

#[test]
fn pdu_for_others_begins_no_conversation() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/1>green,red"));
    desk.expect(&["release red/1", "verdicts refused:NOT_FOR_US"]);
    desk.arrive("red", pdus("red/3<red/2"));
    desk.expect(&["hold red/3 for [red/2], edge", "verdicts held"]);
}

/// Regression: the bare identity, accepted from another server, made the origin's own copy a duplicate that was never
/// shown.
#[test]
fn narrowed_relay_does_not_hide_original() {
    let mut desk = MachineHarness::among("red green");
    desk.arrive("red", pdus("green/1>green,red"));
    desk.expect(&["release green/1", "verdicts refused:NOT_FOR_US"]);
    desk.arrive("green", pdus("green/1"));
    desk.expect(&["deliver green/1 at 0", "verdicts accepted"]);
}

#[test]
fn narrowed_history_does_not_hide_original() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 10);
    desk.told_of_the_past(Some(pdus("red/1<red/0=topic")));
    desk.told_of_the_past(Some(pdus("green/1>green,red")));
    desk.log.clear();
    desk.participants("red green");
    desk.log.clear();
    desk.arrive("green", pdus("green/1"));
    assert!(desk.log.iter().any(|line| line.starts_with("deliver green/1")), "{:?}", desk.log);
}

/// Regression: its sender left while the page of quarantine was read, and the row was removed without a report.
#[test]
fn refused_take_back_stays_in_quarantine() {
    let mut desk = MachineHarness::among("red");
    desk.arrive("red", pdus("green/1"));
    assert_eq!(desk.kept.len(), 1);
    desk.participants("green");
    desk.take_back();
    assert_eq!(desk.kept.len(), 1, "red takes no part any more: {:?}", desk.log);
}

/// The newest PDU of a join may be narrowed.
#[test]
fn joined_context_names_no_narrowed_pdu() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 10);
    desk.told_of_the_past(Some(pdus("red/1<red/0=topic")));
    desk.told_of_the_past(Some(pdus("red/4<red/3>red,us red/3<red/2 red/2")));
    desk.log.clear();
    desk.compose("1", "");
    assert!(desk.log.iter().any(|line| line.starts_with("send us/1 prev [red/3] depth 2")), "{:?}", desk.log);
}

/// Regression: the next local PDU had depth 1 in a context with much greater depths.
#[test]
fn joined_context_has_fitting_depth() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    let stated = |text: &str, depth| Pdu { depth: Some(depth), ..pdu(text) };
    desk.join("red", 2);
    desk.told_of_the_past(Some(vec![stated("red/3<red/2=topic", 3), stated("red/5<red/4=name", 5)]));
    desk.compose("1", "");
    desk.restart();
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&["send us/1 prev [red/5] depth 6 replaces None to [red]"]);

    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.join("red", 2);
    desk.told_of_the_past(Some(vec![stated("red/5<red/4=name", 5)]));
    desk.told_of_the_past(Some(vec![stated("red/99<red/98", 98), stated("red/98<red/97", 97)]));
    desk.compose("1", "");
    desk.log.retain(|line| line.starts_with("send"));
    desk.expect(&["send us/1 prev [red/99] depth 99 replaces None to [red]"]);
}

#[test]
fn new_context_may_reach_participants_max() {
    let mut desk = MachineHarness::new(ContextLimits { participants_max: 1, ..ContextLimits::default() });
    desk.arrive("red", pdus("red/1"));
    assert_eq!(desk.log.last().map(String::as_str), Some("verdicts accepted"), "{:#?}", desk.log);
}

/// A batch in which each PDU names the one before is delivered in that order without being held; in any other one the order is that of
/// depth, origin and id.
#[test]
fn chain_is_delivered_at_once() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("red", pdus("red/1"));
    desk.log.clear();
    desk.arrive("red", pdus("red/2<red/1 red/3<red/2 red/4<red/3"));
    desk.expect(&[
        "deliver red/2 at 1",
        "deliver red/3 at 2",
        "deliver red/4 at 3",
        "verdicts accepted accepted accepted",
    ]);
    desk.arrive("red", pdus("red/3<red/2 red/4<red/3 red/5<red/4"));
    desk.expect(&["deliver red/5 at 4", "verdicts duplicate duplicate accepted"]);
    desk.arrive("red", pdus("red/8<red/5 red/7<red/5 red/7<red/5"));
    desk.expect(&["deliver red/7 at 5", "deliver red/8 at 5", "verdicts accepted accepted duplicate"]);
    desk.arrive("red", pdus("red/9<red/8 red/11<red/9,red/10 red/12<red/11"));
    let held = ["hold red/11 for [red/10]", "hold red/12 for [red/11]"];
    desk.expect(&["deliver red/9 at 6", held[0], held[1], "verdicts accepted held held"]);
    desk.arrive("red", pdus("red/10<red/9"));
    desk.expect(&["deliver red/10 at 7", "deliver red/11 at 8", "deliver red/12 at 9", "verdicts accepted"]);
}

/// Regression: a PDU that ended a chain by being refused was quarantined again for its copy in the same batch.
#[test]
fn refused_chain_is_quarantined_once() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    desk.arrive("green", pdus("green/1"));
    desk.log.clear();
    desk.arrive("red", pdus("red/1 red/2<red/1 red/1<red/2"));
    let parks = desk.log.iter().filter(|line| line.starts_with("park")).count();
    assert_eq!(parks, 2, "{:#?}", desk.log);
}

/// A long batch must not push parents that later PDUs of it name out of the memory of delivered PDUs.
#[test]
fn long_chain_finds_earlier_parents() {
    let mut desk = MachineHarness::new(ContextLimits::default());
    let chain = |numbers: std::ops::Range<u32>| numbers.map(|n| format!("red/{n}<red/{}", n - 1)).collect::<Vec<_>>();
    desk.arrive("red", pdus("red/0"));
    desk.arrive("red", pdus(&chain(1..1_001).join(" ")));
    desk.log.clear();
    let mut batch = chain(1_001..2_001);
    batch.push("red/2001<red/2000,red/1".to_owned());
    desk.arrive("red", pdus(&batch.join(" ")));
    assert!(desk.log.iter().all(|line| !line.starts_with("hold")), "{:?}", desk.log.last());
}
