//! Traces of the inbound machine: which pulls are sent, from which position, and for how long.

use super::*;

#[test]
fn unknown_prev_id_is_pulled_once() {
    let mut bench = Bench::new();
    bench.accept(after("10", &["9"])); // there is no remembered transaction to start from
    bench.accept(after("20", &["10"]));
    bench.accept(after("40", &["30"]));
    bench.accept(after("50", &["30", "40"]));
    bench.accept(after("50", &["30"])); // a repeat
    bench.accept(after("x", &["z"])); // not a number: everything newer than what we hold
    bench.accept(after("60", &["45", "15"]));
    bench.accept(after("70", &["3"])); // older than all remembered ones
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

/// Regression: a crash between the commit of a transaction and the pull of those before it lost the pull for good.
#[test]
fn failed_pull_retries_across_restart() {
    let page = |upto, more| Ok(PullResponse { pdus: vec![], upto, more });
    let mut bench = Bench::new();
    bench.accept(after("10", &[])).accept(after("40", &["30"]));
    bench.told(missed(10, 1), Err(PushFailure::TimedOut)).contact();
    bench.told(missed(10, 1), page(Some(20), true));
    let record = bench.inbound.record();
    let limits = Arc::new(PeerLimits::default());
    bench.inbound = Inbound::new("red".parse().expect("valid"), limits, &record, vec![], vec![]);
    bench.contact().told(missed(20, 1), page(None, false)).contact();
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "told: ; missed Some(10), restore None",
        "contact: pull after 10, page 1",
        "told: pull after 20, page 2; missed Some(20), restore None",
        "contact: pull after 20, page 1",
        "told: ; missed None, restore None",
        "contact: ",
    ]);
}

fn missed(after: u64, page: u32) -> Pull {
    Pull { after, page, catch_up: false }
}

fn restore(after: u64, page: u32) -> Pull {
    Pull { after, page, catch_up: true }
}

fn says(status: u16, retry_after: Option<u64>) -> Result<PullResponse, PushFailure> {
    Err(PushFailure::Troubled { status, reason: "no".into(), retry_after: retry_after.map(Duration::from_secs) })
}

impl Bench {
    fn told(&mut self, asked: Pull, answer: Result<PullResponse, PushFailure>) -> &mut Self {
        self.step("told", |inbound, out| inbound.pulled(asked, answer, UnknownContexts::default(), out));
        let InboundRecord { missed, catch_up, .. } = self.inbound.record();
        let told = self.trace.pop().unwrap_or_default();
        self.trace.push(format!("{told}; missed {missed:?}, restore {catch_up:?}"));
        self
    }

    fn contact(&mut self) -> &mut Self {
        self.step("contact", Inbound::catch_up)
    }

    /// The timer of the pulls fires.
    fn due(&mut self) -> &mut Self {
        self.now = self.inbound.ask_at().expect("a date");
        let now = self.now;
        self.step(&format!("{}s", now.0 as f64 / 1000.0), |inbound, out| inbound.ask_due(now, out))
    }
}

/// Regression: one 429 or 503 ended the pull for good.
#[test]
fn busy_answer_retries_with_backoff() {
    let mut bench = Bench::new();
    bench.now = Millis(1000);
    bench.accept(after("10", &[])).accept(after("40", &["30"]));
    bench.told(missed(10, 1), says(503, None)).contact().due();
    bench.told(missed(10, 1), says(429, Some(30))).contact().due();
    // A request to an unreachable peer is repeated once on contact, and then not before its time.
    bench.told(missed(10, 1), Err(PushFailure::TimedOut)).contact();
    bench.told(missed(10, 1), Err(PushFailure::Unreachable("no".into()))).contact().due();
    bench.contact().told(missed(10, 1), Err(PushFailure::TimedOut));
    bench.told(missed(10, 1), says(500, None)).contact().due();
    bench.told(missed(10, 1), Ok(PullResponse::default())).contact();
    assert_eq!(bench.inbound.ask_at(), None);
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "told: ; missed Some(10), restore None",
        "contact: ",
        "2s: pull after 10, page 1",
        "told: ; missed Some(10), restore None",
        "contact: ",
        "32s: pull after 10, page 1",
        "told: ; missed Some(10), restore None",
        "contact: pull after 10, page 1",
        "told: ; missed Some(10), restore None",
        "contact: ",
        "36s: pull after 10, page 1",
        "contact: ",
        "told: pull after 10, page 1; missed Some(10), restore None",
        "told: ; missed Some(10), restore None",
        "contact: ",
        "44s: pull after 10, page 1",
        "told: ; missed None, restore None",
        "contact: ",
    ]);
}

#[test]
fn question_ends_when_keep_has_passed() {
    let limits = PeerLimits { keep: Duration::from_secs(9), ..PeerLimits::default() };
    let record = InboundRecord { catch_up: Some(7), restored: 1, ..InboundRecord::default() };
    let load = |record: &InboundRecord| {
        Inbound::new("red".parse().expect("valid"), Arc::new(limits.clone()), record, vec![], vec![])
    };
    let mut bench = Bench { inbound: load(&record), ..Bench::new() };
    bench.now = Millis(1000);
    bench.contact().told(restore(7, 1), says(503, None)).due();
    bench.told(restore(7, 1), says(503, None)).due().told(restore(7, 1), says(503, None));
    // The pull survives a restart.
    let record = bench.inbound.record();
    assert_eq!(record.catch_up_since, Millis(1000));
    bench.inbound = load(&record);
    bench.contact().told(restore(7, 1), says(503, None)).due();
    bench.told(restore(7, 1), says(503, None)).due().due();
    assert_eq!((bench.now, bench.inbound.ask_at()), (Millis(10_000), None));
    bench.check(&[
        "contact: pull after 7, page 1, to catch up",
        "told: ; missed None, restore Some(7)",
        "2s: pull after 7, page 1, to catch up",
        "told: ; missed None, restore Some(7)",
        "4s: pull after 7, page 1, to catch up",
        "told: ; missed None, restore Some(7)",
        "contact: pull after 7, page 1, to catch up",
        "told: ; missed None, restore Some(7)",
        "5s: pull after 7, page 1, to catch up",
        "told: ; missed None, restore Some(7)",
        "7s: pull after 7, page 1, to catch up",
        "10s: feed",
    ]);
}

/// A pull that is not sent waits for contact, and for its expiry.
#[test]
fn postponed_question_expires_with_keep() {
    let mut bench = Bench::under(PeerLimits { keep: Duration::from_secs(9), ..PeerLimits::default() });
    bench.now = Millis(1000);
    bench.accept(after("10", &[])).accept(after("40", &["30"]));
    bench.step("shut", |inbound, _| inbound.put_off(missed(10, 1))).contact();
    bench.step("shut", |inbound, _| inbound.put_off(missed(10, 1))).due();
    assert_eq!(bench.inbound.record().missed, None);
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "shut: ",
        "contact: pull after 10, page 1",
        "shut: ",
        "10s: feed",
    ]);
}

/// Regression: the newer pull was in flight alone, and the older one was never sent again.
#[test]
fn failed_pull_joins_next_pull() {
    let mut bench = Bench::new();
    bench.accept(after("10", &[])).accept(after("40", &["30"]));
    bench.told(missed(10, 1), Err(PushFailure::TimedOut));
    bench.accept(after("70", &["60"]));
    bench.told(missed(10, 1), Ok(PullResponse::default()));
    bench.check(&[
        "accept 1: seen 10; answer 1 ",
        "accept 2: seen 40; pull after 10, page 1; answer 2 ",
        "told: ; missed Some(10), restore None",
        "accept 3: seen 70; pull after 10, page 1; answer 3 ",
        "told: ; missed None, restore None",
    ]);
}

/// A page of one pull is not taken for a page of the other, even if both are at the same position.
#[test]
fn catch_up_and_pull_stay_separate() {
    let mut bench = Bench::restored(20);
    bench.accept(after("30", &[])).accept(after("50", &["40"]));
    bench.step("missed", |inbound, out| {
        let asked = Pull { after: 30, page: 1, catch_up: false };
        inbound.pulled(asked, Err(PushFailure::TimedOut), UnknownContexts::default(), out);
    });
    bench.step("told", |inbound, out| {
        let page = PullResponse { pdus: vec![], upto: Some(30), more: true };
        inbound.pulled(Pull { after: 20, page: 1, catch_up: true }, Ok(page), UnknownContexts::default(), out);
    });
    bench.contact();
    bench.check(&[
        "accept 1: seen 30; answer 1 ",
        "accept 2: seen 50; pull after 30, page 1; answer 2 ",
        "missed: ",
        "told: pull after 30, page 2, to catch up",
        "contact: pull after 30, page 1",
    ]);
}

#[test]
fn peer_without_fetches_is_never_pulled() {
    let mut bench = Bench::under(PeerLimits { fetches: false, ..PeerLimits::default() });
    bench.accept(after("10", &[])).accept(after("20", &["15"]));
    bench.check(&["accept 1: seen 10; answer 1 ", "accept 2: seen 20; answer 2 "]);
}

#[test]
fn catch_up_cursor_moves_by_pages() {
    let page = |upto, more| Ok(PullResponse { pdus: vec![], upto, more });
    let no = || Err(PushFailure::Refused { status: 404, reason: "no".into() });
    let mut bench = Bench::restored(20);
    bench.contact().contact().accept(after("90", &[]));
    bench.told(restore(20, 1), page(Some(30), true)).told(restore(30, 2), Err(PushFailure::TimedOut)).contact();
    bench.told(restore(30, 1), no()).due();
    bench.told(restore(30, 1), page(Some(40), true)); // a page resets the count of refusals
    bench.told(restore(40, 2), no()).due().told(restore(40, 1), no()).due().told(restore(40, 1), no()).contact();
    bench.check(&[
        "contact: pull after 20, page 1, to catch up",
        "contact: ",
        "accept 1: seen 90; answer 1 ",
        "told: pull after 30, page 2, to catch up; missed None, restore Some(30)",
        "told: ; missed None, restore Some(30)",
        "contact: pull after 30, page 1, to catch up",
        "told: ; missed None, restore Some(30)",
        "1s: pull after 30, page 1, to catch up",
        "told: pull after 40, page 2, to catch up; missed None, restore Some(40)",
        "told: ; missed None, restore Some(40)",
        "2s: pull after 40, page 1, to catch up",
        "told: ; missed None, restore Some(40)",
        "4s: pull after 40, page 1, to catch up",
        "told: feed; missed None, restore None",
        "contact: ",
    ]);
    let mut bench = Bench::restored(20);
    bench.contact().contact();
    bench.told(restore(20, 1), Err(PushFailure::TimedOut)); // the peer made contact meanwhile
    bench.told(restore(20, 1), Err(PushFailure::TimedOut)).contact().due();
    bench.told(restore(20, 1), page(Some(20), true)); // it goes round in a circle
    bench.check(&[
        "contact: pull after 20, page 1, to catch up",
        "contact: ",
        "told: pull after 20, page 1, to catch up; missed None, restore Some(20)",
        "told: ; missed None, restore Some(20)",
        "contact: ",
        "1s: pull after 20, page 1, to catch up",
        "told: ; missed None, restore None",
    ]);
}

/// The original server always answers 500: the possible loss is announced at once, and the pull is repeated.
#[test]
fn synapse_2014_question_reported_early() {
    let record = InboundRecord { catch_up: Some(7), restored: 1, ..InboundRecord::default() };
    let limits = Arc::new(PeerLimits { drops_batch_on_error_status: true, ..PeerLimits::default() });
    let inbound = Inbound::new("red".parse().expect("valid"), limits, &record, vec![], vec![]);
    let mut bench = Bench { inbound, ..Bench::new() };
    bench.contact();
    for _ in 0..4 {
        bench.told(restore(7, 1), says(500, None)).due();
    }
    assert_eq!(bench.trace.iter().filter(|line| line.contains("feed")).count(), 1);
    assert_eq!(bench.trace[5], "told: feed; missed None, restore Some(7)");
    assert_eq!(bench.trace[8], "15s: pull after 7, page 1, to catch up");
}

#[test]
fn pulled_pages_dispatch_like_batches() {
    let page = |pdus, upto, more| PullResponse { pdus, upto, more };
    let bad = BadPdu { id: None, origin: None, code: "NO_CONTEXT", reason: "context is missing".into() };
    let mut bench = Bench::new();
    bench.pulled(20, 1, page(vec![Ok(pdu("a", "#x")), Err(bad)], Some(30), true));
    bench.accept(transaction("50", vec![Ok(pdu("c", "#x"))])); // waits its turn
    bench.back("#x", &[0], Ok(vec![OK]));
    bench.back("#x", &[0], Ok(vec![OK]));
    bench.pulled(30, 2, page(vec![Ok(pdu("b", "#y"))], Some(30), true)); // it goes round in a circle
    bench.back("#y", &[0], Err(DispatchError::Died));
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

#[test]
fn concurrent_adoption_counts_once() {
    let strange = || UnknownContexts { contexts: vec!["#x".parse().expect("valid")], most: 1 };
    let mut bench = Bench::new();
    bench.accept_strange(transaction("1", vec![Ok(pdu("a", "#x"))]), strange());
    bench.accept_strange(transaction("2", vec![Ok(pdu("b", "#x"))]), strange());
    bench.back("#x", &[0], Ok(vec![OK])).back("#x", &[0], Ok(vec![OK]));
    bench.accept_strange(transaction("3", vec![Ok(pdu("c", "#x"))]), strange());
    bench.back("#x", &[0], Ok(vec![OK]));
    bench.check(&[
        "accept 1: to #x [0]",
        "accept 2: ",
        "#x is back: seen 1; answer 1 accepted; to #x [0]",
        "#x is back: seen 2; answer 2 accepted",
        "accept 3: to #x [0]",
        "#x is back: seen 3; answer 3 accepted",
    ]);
    assert_eq!(bench.inbound.record().contexts_created, 1);
}
