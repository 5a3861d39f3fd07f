//! Traces of the machine: events in, effects out.

use super::*;

const RULES: BatchRules = BatchRules {
    items_max: 1_000,
    poison_after: 3,
    backoff: BackoffLimits { min: Duration::from_millis(250), max: Duration::from_secs(30), jitter: 0.2 },
};

/// A machine with a messenger that a test scripts, and a feed without gaps.
struct PushTrace {
    machine: PushMachine,
    /// Newest position of the feed.
    tail: u64,
    /// Positions of released events, in the order of releases.
    released: Vec<Position>,
    lines: Vec<String>,
}

impl PushTrace {
    fn begin(rules: BatchRules, tail: u64) -> Self {
        let mut trace = Self { machine: PushMachine::new(rules, Position(0)), tail, released: vec![], lines: vec![] };
        trace.on(PushEvent::Grown(Position(tail)));
        trace
    }

    /// Hands an event over, and cuts the batch that is asked for.
    fn on(&mut self, event: PushEvent) {
        for effect in self.machine.on(event, 0.5) {
            match effect {
                PushEffect::Cut { source: BatchSource::ReleasedUpTo(_), items } => {
                    let positions: Vec<_> = self.released.iter().copied().take(items).collect();
                    self.lines.push(format!("cut released {}", positions.len()));
                    match positions.is_empty() {
                        true => self.on(PushEvent::Released(None)),
                        false => self.on(PushEvent::Cut(positions)),
                    }
                }
                PushEffect::Cut { source: BatchSource::FeedAfter(after), items } => {
                    let positions: Vec<_> = (after.0 + 1..=self.tail).take(items).map(Position).collect();
                    self.lines.push(format!("cut {}..{}", after.0 + 1, after.0 + positions.len() as u64));
                    self.on(PushEvent::Cut(positions));
                }
                PushEffect::Send => self.lines.push("send".to_owned()),
                PushEffect::Wait(delay) => self.lines.push(format!("wait {} ms", delay.as_millis())),
                PushEffect::Acknowledge { source, upto, refused } => {
                    if let BatchSource::ReleasedUpTo(_) = source {
                        let place = self.released.iter().position(|position| *position == upto).expect("released");
                        self.released.drain(..=place);
                    }
                    let refused: Vec<_> = refused.iter().map(|one| format!(" parked {}", one.position)).collect();
                    self.lines.push(format!("ack {upto}{}", refused.concat()));
                }
                PushEffect::Report(PushReport::Failing { first, failures, .. }) => {
                    self.lines.push(format!("failing at {first}, {failures} in a row"));
                }
                PushEffect::Report(PushReport::Recovered) => self.lines.push("recovered".to_owned()),
                PushEffect::Report(PushReport::Stuck { position, .. }) => {
                    self.lines.push(format!("stuck at {position}"));
                }
            }
        }
    }

    /// Answers every batch by `answer`, until nothing is in flight any more or so many were answered. Delays pass at once.
    fn run(&mut self, rounds: usize, answer: impl Fn(&[Position]) -> Option<PushFault>) {
        for _ in 0..rounds {
            let event = match &self.machine.state {
                PushState::InFlight(batch) => match answer(&batch.positions) {
                    None => PushEvent::Acknowledged(vec![]),
                    Some(fault) => PushEvent::Failed(fault),
                },
                PushState::BackingOff(_) | PushState::BeforeCut => PushEvent::TimerFired,
                PushState::Idle | PushState::Cutting(_) | PushState::Overtaken => return,
            };
            self.on(event);
        }
    }

    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }

    /// Returns the lines of acknowledgements alone.
    fn acks(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix("ack ")).collect()
    }
}

fn acknowledged() -> PushEvent {
    PushEvent::Acknowledged(vec![])
}

fn refused(status: u16) -> PushFault {
    PushFault::Refused { status, reason: "no".into() }
}

fn suspect() -> PushFault {
    PushFault::Suspect("status 500: ".into())
}

fn unavailable(retry_after: Option<u64>) -> PushFault {
    PushFault::Unavailable { words: "down".into(), retry_after: retry_after.map(Duration::from_secs) }
}

#[test]
fn batches_double_while_more_waits() {
    let mut trace = PushTrace::begin(RULES, 3_000);
    trace.run(100, |_| None);
    let cuts: Vec<_> = trace.lines.iter().filter_map(|line| line.strip_prefix("cut ")).collect();
    assert_eq!(cuts, ["1..64", "65..192", "193..448", "449..960", "961..1960", "1961..2960", "2961..3000"]);
    assert_eq!(trace.machine.state, PushState::Idle);
    trace.on(PushEvent::Grown(Position(3_000)));
    assert_eq!(trace.machine.state, PushState::Idle, "nothing is new");
}

#[test]
fn one_batch_is_in_flight() {
    let mut trace = PushTrace::begin(RULES, 2);
    trace.tail = 5;
    trace.on(PushEvent::Grown(Position(5)));
    trace.on(PushEvent::Pinged);
    trace.on(PushEvent::TimerFired);
    assert_eq!(trace.taken(), ["cut 1..2", "send"]);
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["ack 2", "cut 3..5", "send"]);
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["ack 5"]);
}

/// Nothing is waited for to fill a batch, so a new event goes out in the step that learns of it.
#[test]
fn new_event_is_never_delayed() {
    let mut trace = PushTrace::begin(RULES, 0);
    for tail in 1..=200 {
        trace.tail = tail;
        trace.on(PushEvent::Grown(Position(tail)));
        assert_eq!(trace.taken(), [format!("cut {tail}..{tail}"), "send".to_owned()]);
        trace.on(acknowledged());
        assert_eq!(trace.taken(), [format!("ack {tail}")]);
    }
}

#[test]
fn unavailable_messenger_gets_same_batch() {
    let mut trace = PushTrace::begin(RULES, 2);
    trace.taken();
    for (failures, wait) in [(1, 250), (2, 500), (3, 1_000)] {
        trace.on(PushEvent::Failed(unavailable(None)));
        assert_eq!(trace.taken(), [format!("failing at 1, {failures} in a row"), format!("wait {wait} ms")]);
        trace.on(PushEvent::Grown(Position(9)));
        trace.on(PushEvent::TimerFired);
        assert_eq!(trace.taken(), ["send"], "without another cut");
    }
    trace.run(40, |_| Some(unavailable(None)));
    assert!(trace.taken().contains(&"wait 25000 ms".to_owned()), "30 s less the jitter");
    trace.tail = 9;
    trace.on(PushEvent::TimerFired);
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["ack 2", "recovered", "cut 3..9", "send"]);
}

#[test]
fn retry_after_is_obeyed_within_limits() {
    let mut trace = PushTrace::begin(RULES, 1);
    trace.taken();
    for (asked, wait) in [(0, 250), (7, 7_000), (3_600, 30_000)] {
        trace.on(PushEvent::Failed(unavailable(Some(asked))));
        assert_eq!(trace.taken()[1], format!("wait {wait} ms"));
        trace.on(PushEvent::TimerFired);
        trace.taken();
    }
}

#[test]
fn ping_ends_the_delay() {
    let mut trace = PushTrace::begin(RULES, 1);
    trace.run(9, |_| Some(unavailable(None)));
    trace.taken();
    trace.on(PushEvent::Pinged);
    trace.on(PushEvent::Pinged);
    assert_eq!(trace.taken(), ["send"]);
    trace.on(PushEvent::Failed(unavailable(None)));
    assert_eq!(trace.taken(), ["failing at 1, 1 in a row", "wait 250 ms"], "delays begin anew");
    trace.on(PushEvent::TimerFired);
    trace.on(acknowledged());
    trace.taken();
    trace.on(PushEvent::Pinged);
    assert_eq!(trace.taken(), [""; 0], "nothing waits");
}

#[test]
fn refused_event_is_found_and_parked() {
    let mut trace = PushTrace::begin(RULES, 64);
    trace.run(200, |batch| batch.contains(&Position(37)).then(|| refused(422)));
    assert_eq!(trace.acks(), ["32", "36", "37 parked 37", "64"]);
    let cuts: Vec<_> = trace.lines.iter().filter_map(|line| line.strip_prefix("cut ")).collect();
    assert_eq!(
        cuts,
        ["1..64", "1..32", "33..64", "33..48", "33..40", "33..36", "37..40", "37..38", "37..37", "38..64"],
        "halves, in order"
    );
    let waits: Vec<_> = trace.lines.iter().filter(|line| line.starts_with("wait")).collect();
    assert_eq!(waits, ["wait 250 ms"], "after the parked one alone");
}

#[test]
fn several_refused_events_are_parked() {
    let mut trace = PushTrace::begin(RULES, 300);
    let poison = [1, 2, 64, 65, 200, 300].map(Position);
    trace.run(2_000, |batch| batch.iter().any(|position| poison.contains(position)).then(|| refused(400)));
    let parked: Vec<_> = trace.lines.iter().filter_map(|line| line.split_once(" parked ")).map(|(_, at)| at).collect();
    assert_eq!(parked, ["1", "2", "64", "65", "200", "300"]);
    assert_eq!((trace.machine.acked, &trace.machine.state), (Position(300), &PushState::Idle));
}

#[test]
fn large_batch_stays_halved() {
    let mut trace = PushTrace::begin(RULES, 400);
    trace.run(100, |batch| (batch.len() > 100).then(|| refused(413)));
    let cuts: Vec<_> = trace.lines.iter().filter_map(|line| line.strip_prefix("cut ")).collect();
    assert_eq!(
        cuts,
        ["1..64", "65..192", "65..128", "129..192", "193..256", "257..384", "257..320", "321..384", "385..400"]
    );
    assert!(!trace.lines.iter().any(|line| line.contains("parked")));
}

#[test]
fn time_out_halves_the_batch() {
    let mut trace = PushTrace::begin(RULES, 10);
    trace.run(5, |batch| (batch.len() > 2).then_some(PushFault::TimedOut));
    assert_eq!(
        trace.taken(),
        [
            "cut 1..10",
            "send",
            "failing at 1, 1 in a row",
            "wait 250 ms",
            "cut 1..5",
            "send",
            "failing at 1, 2 in a row",
            "wait 500 ms",
            "cut 1..2",
            "send",
            "ack 2",
            "recovered",
            "cut 3..6",
            "send",
        ]
    );
    let mut trace = PushTrace::begin(RULES, 1);
    trace.run(20, |_| Some(PushFault::TimedOut));
    assert!(trace.acks().is_empty(), "a time-out parks nothing");
    assert_eq!(trace.taken().iter().filter(|line| line.starts_with("cut")).count(), 1, "the same batch each time");
}

#[test]
fn status_500_counts_after_several_attempts() {
    let mut trace = PushTrace::begin(RULES, 4);
    trace.run(200, |batch| batch.contains(&Position(2)).then(suspect));
    let sent = |lines: &[String]| -> Vec<String> {
        let mut sent = vec![];
        for line in lines {
            match line.split_once(' ') {
                Some(("cut", span)) => sent.push(format!("{span} x0")),
                _ if line == "send" => {
                    let (span, times) =
                        sent.pop().expect("cut before").split_once(" x").map(own).expect("written here");
                    sent.push(format!("{span} x{}", times + 1));
                }
                _ => {}
            }
        }
        sent
    };
    assert_eq!(sent(&trace.lines), ["1..4 x3", "1..2 x3", "1..1 x1", "2..2 x3", "3..4 x1"]);
    assert_eq!(trace.acks(), ["1", "2 parked 2", "4"]);

    let mut trace = PushTrace::begin(RULES, 1);
    trace.run(200, |_| Some(suspect()));
    assert_eq!(sent(&trace.lines), ["1..1 x6"], "a batch of one event has as many attempts again");
    assert_eq!(trace.acks(), ["1 parked 1"]);
}

fn own((span, times): (&str, &str)) -> (String, u32) {
    (span.to_owned(), times.parse().expect("a number"))
}

#[test]
fn fourth_failing_event_in_row_sticks() {
    let mut trace = PushTrace::begin(RULES, 8);
    trace.run(400, |batch| (batch.last() > Some(&Position(1))).then(suspect));
    assert_eq!(trace.acks(), ["1", "2 parked 2", "3 parked 3", "4 parked 4"]);
    assert_eq!(trace.lines.iter().filter(|line| *line == "stuck at 5").count(), 1, "told once");
    assert_eq!(trace.machine.stuck(), Some(Position(5)));
    trace.taken();
    trace.run(2, |_| None);
    trace.run(2, |_| None);
    assert_eq!(trace.machine.stuck(), None);
    assert_eq!(trace.machine.acked, Position(8));
    assert_eq!(trace.machine.parked_in_row, 0);
}

#[test]
fn acknowledgement_names_refused_events() {
    let mut trace = PushTrace::begin(RULES, 3);
    let refused = vec![RefusedPosition { position: Position(2), reason: "who is that?".into() }];
    trace.on(PushEvent::Acknowledged(refused));
    assert_eq!(trace.taken(), ["cut 1..3", "send", "ack 3 parked 2"]);
}

#[test]
fn failed_cut_is_repeated() {
    let mut machine = PushMachine::new(RULES, Position(0));
    let cut = vec![PushEffect::Cut { source: BatchSource::FeedAfter(Position(0)), items: 64 }];
    assert_eq!(machine.on(PushEvent::Grown(Position(3)), 0.5), cut);
    assert_eq!(machine.on(PushEvent::CutFailed, 0.5), [PushEffect::Wait(Duration::from_millis(250))]);
    assert_eq!(machine.on(PushEvent::TimerFired, 0.5), cut);
    assert_eq!(machine.on(PushEvent::Cut(vec![]), 0.5), []);
    assert_eq!(machine.state, PushState::Idle);
}

#[test]
fn rewind_overtakes_batch_in_flight() {
    let mut trace = PushTrace::begin(RULES, 6);
    trace.on(acknowledged());
    trace.taken();
    trace.on(PushEvent::Rewound(Position(2)));
    assert_eq!(trace.taken(), ["cut 3..6", "send"]);
    trace.on(PushEvent::Rewound(Position(1)));
    trace.on(PushEvent::Grown(Position(6)));
    assert_eq!(trace.taken(), [""; 0], "one request is in flight");
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["cut 2..6", "send"], "its answer moves nothing");
    trace.on(PushEvent::Failed(unavailable(None)));
    trace.on(PushEvent::Rewound(Position(0)));
    assert_eq!(trace.taken()[2..], ["cut 1..6", "send"], "a messenger that rewinds is back");
}

#[test]
fn released_events_follow_the_feed() {
    let mut trace = PushTrace::begin(RULES, 5);
    trace.released = vec![Position(4), Position(2)];
    trace.on(PushEvent::Released(Some(Position(7))));
    trace.tail = 9;
    trace.on(PushEvent::Grown(Position(9)));
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["cut 1..5", "send", "ack 5", "cut 6..9", "send"], "position 7 is not acknowledged");
    trace.tail = 12;
    trace.on(PushEvent::Grown(Position(12)));
    trace.on(acknowledged());
    assert_eq!(trace.taken(), ["ack 9", "cut released 2", "send"]);
    trace.on(PushEvent::Failed(refused(422)));
    trace.on(acknowledged());
    trace.on(PushEvent::Failed(refused(422)));
    trace.on(PushEvent::TimerFired);
    let expected = [
        "failing at 4, 1 in a row",
        "cut released 1",
        "send",
        "ack 4",
        "recovered",
        "cut released 1",
        "send",
        "failing at 2, 1 in a row",
        "ack 2 parked 2",
        "wait 250 ms",
        "cut released 0",
        "cut 10..12",
        "send",
    ];
    assert_eq!(trace.taken(), expected);
    assert_eq!(trace.machine.acked, Position(9), "an old position moves nothing");
}

#[test]
fn feed_in_any_weather_arrives_once() {
    // Random answers: no event is passed over without being acknowledged or parked, and positions only rise.
    for seed in 0..200 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let tail = chance.u64(1..300);
        let mut trace = PushTrace::begin(RULES, tail);
        let poison: Vec<Position> = (0..chance.usize(..6)).map(|_| Position(chance.u64(1..=tail))).collect();
        let mut at = 0;
        for _ in 0..20_000 {
            let event = match &trace.machine.state {
                PushState::InFlight(batch) => {
                    assert_eq!(batch.first().0, at + 1, "seed {seed}: in order and without a gap");
                    let last = batch.last().0;
                    match chance.u8(..10) {
                        0 => PushEvent::Failed(unavailable(None)),
                        1 => PushEvent::Failed(PushFault::TimedOut),
                        _ if batch.positions.iter().any(|position| poison.contains(position)) => {
                            if batch.positions.len() == 1 {
                                at = last;
                            }
                            PushEvent::Failed(refused(400))
                        }
                        _ => {
                            at = last;
                            acknowledged()
                        }
                    }
                }
                PushState::BackingOff(_) | PushState::BeforeCut => PushEvent::TimerFired,
                _ => break,
            };
            trace.on(event);
            assert_eq!(trace.machine.acked.0, at, "seed {seed}");
        }
        assert_eq!(at, tail, "seed {seed}: everything was taken or parked");
    }
}
