//! What was missed is asked for: which question, from which place, and for how long, as traces of the inbound machine.

use super::*;

#[test]
fn what_a_transaction_names_and_we_never_saw_is_pulled_once() {
    let mut bench = Bench::new();
    bench.accept(after("10", &["9"])); // nothing is held to count from
    bench.accept(after("20", &["10"]));
    bench.accept(after("40", &["30"]));
    bench.accept(after("50", &["30", "40"]));
    bench.accept(after("50", &["30"])); // a repeat
    bench.accept(after("x", &["z"])); // not a number: all that is newer than what we hold
    bench.accept(after("60", &["45", "15"]));
    bench.accept(after("70", &["3"])); // before all that is remembered
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 20; answer 2 ",
        "accept 3: seen 40; pull after 20, page 1; answer 3 ",
        "accept 4: seen 50; answer 4 ",
        "accept 5: answer 5 ",
        "accept 6: seen x; pull after 50, page 1; answer 6 ",
        "accept 7: seen 60; pull after 10, page 1; answer 7 ",
        "accept 8: seen 70; answer 8 ",
    ]);
}

/// A crash between the commit of a transaction and the question about those before it lost the question for good.
#[test]
fn what_was_missed_is_asked_for_until_there_is_an_answer() {
    let page = |upto, more| Ok(Pulled { pdus: vec![], upto, more });
    let told = |bench: &mut Bench, after, page, answer| {
        let asked = Pull { after, page, catch_up: false };
        bench.step("told", |inbound, out| inbound.pulled(asked, answer, Strange::default(), out));
        bench.trace.push(format!("{:?}", bench.inbound.record().missed));
    };
    let mut bench = Bench::new();
    bench.accept(after("10", &[])).accept(after("40", &["30"])).step("contact", Inbound::catch_up);
    told(&mut bench, 10, 1, Err(PushFailure::TimedOut));
    bench.step("contact", Inbound::catch_up);
    told(&mut bench, 10, 1, page(Some(20), true));
    let record = bench.inbound.record();
    let limits = Arc::new(PeerLimits::default());
    bench.inbound = Inbound::new("red".parse().expect("valid"), limits, &record, vec![], vec![]);
    bench.step("restart", Inbound::catch_up);
    told(&mut bench, 20, 1, page(None, false));
    bench.step("contact", Inbound::catch_up);
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "contact: ",
        "told: ",
        "Some(10)",
        "contact: pull after 10, page 1",
        "told: pull after 20, page 2",
        "Some(20)",
        "restart: pull after 20, page 1",
        "told: ",
        "None",
        "contact: ",
    ]);
}

/// The newer question was on its way alone, and the older one was never asked again.
#[test]
fn what_waits_to_be_asked_for_again_is_asked_for_with_what_is_missed_next() {
    let mut bench = Bench::new();
    let told = |bench: &mut Bench, after, answer| {
        let asked = Pull { after, page: 1, catch_up: false };
        bench.step("told", |inbound, out| inbound.pulled(asked, answer, Strange::default(), out));
        bench.trace.push(format!("{:?}", bench.inbound.record().missed));
    };
    bench.accept(after("10", &[])).accept(after("40", &["30"]));
    told(&mut bench, 10, Err(PushFailure::TimedOut));
    bench.accept(after("70", &["60"]));
    told(&mut bench, 10, Ok(Pulled::default()));
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "told: ",
        "Some(10)",
        "accept 3: seen 70; pull after 10, page 1; answer 3 ",
        "told: ",
        "None",
    ]);
}

/// A page of the one question is no page of the other, though both may have come to the same place.
#[test]
fn to_catch_up_is_another_question_than_what_was_missed() {
    let mut bench = Bench::restored(20);
    bench.accept(after("30", &[])).accept(after("50", &["40"]));
    bench.step("missed", |inbound, out| {
        let asked = Pull { after: 30, page: 1, catch_up: false };
        inbound.pulled(asked, Err(PushFailure::TimedOut), Strange::default(), out);
    });
    bench.step("told", |inbound, out| {
        let page = Pulled { pdus: vec![], upto: Some(30), more: true };
        inbound.pulled(Pull { after: 20, page: 1, catch_up: true }, Ok(page), Strange::default(), out);
    });
    bench.step("contact", Inbound::catch_up);
    bench.check(&[
        "accept 1: seen 30; answer 1 ",
        "accept 2: seen 50; pull after 30, page 1; answer 2 ",
        "missed: ",
        "told: pull after 30, page 2, to catch up",
        "contact: pull after 30, page 1",
    ]);
}

#[test]
fn a_peer_that_knows_no_gets_is_never_asked() {
    let mut bench = Bench::under(PeerLimits { fetches: false, ..PeerLimits::default() });
    bench.accept(after("10", &[])).accept(after("20", &["15"]));
    bench.check(&["accept 1: seen 10; answer 1 ", "accept 2: seen 20; answer 2 "]);
}

#[test]
fn after_a_restore_the_place_asked_from_moves_with_the_pages_and_with_nothing_else() {
    let page = |upto, more| Ok(Pulled { pdus: vec![], upto, more });
    let troubled = || Err(PushFailure::Troubled { status: 500, reason: "no".into(), retry_after: None });
    let asked = |after, page| Pull { after, page, catch_up: true };
    let mut bench = Bench::restored(20);
    let step = |bench: &mut Bench, asked: Pull, answer| {
        bench.step("told", |inbound, out| inbound.pulled(asked, answer, Strange::default(), out));
        bench.trace.push(format!("{:?}", bench.inbound.record().catch_up));
    };
    bench.step("contact", Inbound::catch_up).step("contact", Inbound::catch_up);
    bench.accept(after("90", &[]));
    step(&mut bench, asked(20, 1), page(Some(30), true));
    step(&mut bench, asked(30, 2), Err(PushFailure::TimedOut));
    bench.step("contact", Inbound::catch_up);
    step(&mut bench, asked(30, 1), troubled());
    step(&mut bench, asked(30, 1), page(Some(40), true)); // a word of it, and the refusals count from the beginning
    step(&mut bench, asked(40, 2), troubled());
    step(&mut bench, asked(40, 1), troubled());
    step(&mut bench, asked(40, 1), troubled());
    bench.step("contact", Inbound::catch_up);
    bench.check(&[
        "contact: pull after 20, page 1, to catch up",
        "contact: ",
        "accept 1: seen 90; answer 1 ",
        "told: pull after 30, page 2, to catch up",
        "Some(30)",
        "told: ",
        "Some(30)",
        "contact: pull after 30, page 1, to catch up",
        "told: ",
        "Some(30)",
        "told: pull after 40, page 2, to catch up",
        "Some(40)",
        "told: ",
        "Some(40)",
        "told: ",
        "Some(40)",
        "told: feed",
        "None",
        "contact: ",
    ]);
    let mut bench = Bench::restored(20);
    bench.step("contact", Inbound::catch_up).step("contact", Inbound::catch_up);
    step(&mut bench, asked(20, 1), Err(PushFailure::TimedOut)); // it was heard of meanwhile
    step(&mut bench, asked(20, 1), Err(PushFailure::TimedOut));
    bench.step("contact", Inbound::catch_up);
    step(&mut bench, asked(20, 1), page(Some(20), true)); // it goes round in a circle
    bench.check(&[
        "contact: pull after 20, page 1, to catch up",
        "contact: ",
        "told: pull after 20, page 1, to catch up",
        "Some(20)",
        "told: ",
        "Some(20)",
        "contact: pull after 20, page 1, to catch up",
        "told: ",
        "None",
    ]);
}

#[test]
fn what_is_pulled_goes_the_way_of_a_batch_page_by_page() {
    let page = |pdus, upto, more| Pulled { pdus, upto, more };
    let bad = BadPdu { id: None, origin: None, code: "NO_CONTEXT", reason: "context is missing".into() };
    let mut bench = Bench::new();
    bench.pulled(20, 1, page(vec![Ok(pdu("a", "#x")), Err(bad)], Some(30), true));
    bench.accept(transaction("50", vec![Ok(pdu("c", "#x"))])); // waits its turn
    bench.back("#x", &[0], Ok(vec![OK]));
    bench.back("#x", &[0], Ok(vec![OK]));
    bench.pulled(30, 2, page(vec![Ok(pdu("b", "#y"))], Some(30), true)); // it goes round in a circle
    bench.back("#y", &[0], Err(Undone::Died));
    bench.pulled(40, PULL_PAGES_MAX, page(vec![], Some(50), true));
    bench.pulled(40, 1, page(vec![], None, true));
    bench.check(&[
        "pulled: to #x [0]",
        "accept 1: ",
        "#x is back: pull after 30, page 2; to #x [0]",
        "#x is back: seen 50; answer 1 accepted",
        "pulled: to #y [0]",
        "#y is back: ",
        "pulled: ",
        "pulled: ",
    ]);
}
