//! A machine with a store in memory that checks each commit, and a log of all its effects.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::context::machine::{ContextEffect, ContextEvent, ContextMachine, ContextReply, RecipientReach};
use crate::context::provenance::QuarantinedPdu;
use crate::context::stage_page::StagePage;
use crate::context::tests::shorthand::{PrintedStep, word};
use crate::context::tests::store_reads::BelowEdge;
use crate::limits::ContextLimits;
use crate::model::{
    ContextRecord, ContextSnapshot, FetchRequest, Gap, Head, HeldPdu, Millis, MissingPrevState, ParkedCode, Pdu,
    PduRef, PduStatus, PduVerdict, PendingParents, PrevStateLink, RepairOutcome, ServerName, StagedPdu, StateEntry,
    StateKey, StateSlot,
};
use crate::reply_token::ReplyToken;
use crate::supervise::poll_now::poll_now;

pub(crate) use crate::context::tests::shorthand::{at, context, draft, pdu, pdus, server};

pub(crate) struct HeldRow {
    pub(crate) hold: PendingParents,
    pub(crate) pdu: Pdu,
    pub(crate) sender: Option<ServerName>,
    pub(crate) age: usize,
}

pub(crate) enum StoredRow {
    /// Depth, and whether the PDU was delivered as history.
    Delivered(u64, bool),
    Held(Box<HeldRow>),
}

/// A delivery, as the model store saw it.
#[derive(Debug, Clone)]
pub(crate) struct DeliveredRow {
    pub(crate) reference: PduRef,
    pub(crate) prev: Vec<PduRef>,
    pub(crate) gap: Vec<PduRef>,
    pub(crate) late: bool,
}

/// The entries of the messenger's feed, in order.
#[derive(Debug, Clone)]
pub(crate) enum FeedEntry {
    Pdu(DeliveredRow),
    Gap(Vec<PduRef>),
    Filled(PduRef),
}

pub(crate) struct MachineHarness {
    pub(crate) machine: ContextMachine,
    pub(crate) limits: Arc<ContextLimits>,
    pub(crate) now: Millis,
    pub(crate) due: Option<Millis>,
    pub(crate) log: Vec<String>,
    pub(crate) told: Vec<FeedEntry>,
    pub(crate) gaps: BTreeMap<PduRef, Gap>,
    /// Requests in flight: the server and the PDU.
    pub(crate) asked: Vec<(ServerName, PduRef)>,
    /// The charges of fetches, in order: the server asked, and the peer whose budget was charged.
    pub(crate) charged: Vec<(ServerName, ServerName)>,
    /// `backfill` requests in flight.
    pub(crate) stretches: Vec<(ServerName, FetchRequest)>,
    /// History requests in flight.
    pub(crate) past: Vec<(ServerName, FetchRequest)>,
    pub(crate) elsewhere: HashMap<PduRef, PduStatus>,
    pub(crate) verdicts: Vec<PduVerdict>,
    pub(crate) record: Option<ContextRecord>,
    pub(crate) rows: BTreeMap<PduRef, StoredRow>,
    /// Number of delivered PDUs.
    pub(crate) positions: i64,
    /// Timeline positions of history.
    pub(crate) past_places: std::collections::BTreeSet<i64>,
    pub(crate) held_by: HashMap<StateKey, StateEntry>,
    pub(crate) pieces: HashMap<StateKey, BTreeMap<PduRef, StateEntry>>,
    pub(crate) links: BTreeMap<PduRef, MissingPrevState>,
    /// Quarantined PDUs by number, with their senders.
    pub(crate) kept: BTreeMap<u64, (ServerName, Pdu)>,
    /// Staged PDUs.
    pub(crate) stage: Vec<(StagedPdu, Pdu)>,
    /// True if the store records unfinished work.
    pub(crate) unfinished: bool,
    /// Servers that do not honour narrowing.
    pub(crate) deaf: Vec<ServerName>,
    /// Servers for which nothing can be queued while the machine decides.
    pub(crate) shut: Vec<ServerName>,
    /// Servers whose quarantined PDUs are to be accepted, and the position after which to read.
    take_back: Option<(Vec<ServerName>, u64)>,
    /// Heads that have rows of their own.
    pub(crate) spilled: BTreeMap<PduRef, Head>,
    /// All PDUs that ever arrived, by sender.
    pub(crate) arrived: HashMap<(ServerName, PduRef), Pdu>,
    /// Number of reads of a whole key.
    pub(crate) weighed: Cell<usize>,
    pub(crate) claimed: HashSet<PduRef>,
    pub(crate) prevs: HashMap<PduRef, Vec<PduRef>>,
    /// Number of requests per server and PDU in this incarnation, and the time of the last one.
    tries: HashMap<(ServerName, PduRef), (u32, Millis)>,
}

impl MachineHarness {
    pub(crate) fn new(limits: ContextLimits) -> Self {
        let limits = Arc::new(limits);
        let machine = ContextMachine::new(context("room"), server("us"), limits.clone(), Arc::new(PrintedStep), None);
        let mut desk = Self {
            machine,
            limits,
            now: Millis(0),
            due: None,
            log: vec![],
            told: vec![],
            gaps: BTreeMap::new(),
            asked: vec![],
            charged: vec![],
            stretches: vec![],
            past: vec![],
            elsewhere: HashMap::new(),
            verdicts: vec![],
            record: None,
            rows: BTreeMap::new(),
            positions: 0,
            past_places: Default::default(),
            held_by: HashMap::new(),
            pieces: HashMap::new(),
            links: BTreeMap::new(),
            kept: BTreeMap::new(),
            stage: vec![],
            unfinished: false,
            deaf: vec![],
            shut: vec![],
            take_back: None,
            spilled: BTreeMap::new(),
            arrived: HashMap::new(),
            weighed: Cell::new(0),
            claimed: HashSet::new(),
            prevs: HashMap::new(),
            tries: HashMap::new(),
        };
        desk.step(ContextEvent::Started);
        desk
    }

    /// Returns a context that our messenger created.
    pub(crate) fn among(servers: &str) -> Self {
        let mut desk = Self::new(ContextLimits::default());
        desk.participants(servers);
        desk.log.clear();
        desk
    }

    pub(crate) fn participants(&mut self, servers: &str) {
        let servers = servers.split_whitespace().map(server).collect();
        self.step(ContextEvent::Participants { token: ReplyToken::new(1), servers });
    }

    pub(crate) fn arrive(&mut self, from: &str, pdus: Vec<Pdu>) {
        self.arrived.extend(pdus.iter().map(|pdu| ((server(from), pdu.reference.clone()), pdu.clone())));
        let known = self.look_up(&pdus);
        self.step(ContextEvent::Arrive {
            token: ReplyToken::new(2),
            from: server(from),
            verified: "mtls",
            pdus,
            known,
        });
        assert!(self.claimed.is_empty(), "claimed and neither stored nor released: {:?}", self.claimed);
    }

    /// Composes drafts. `shut` is a list of servers with reasons: `green:outbox_full`.
    pub(crate) fn compose(&mut self, drafts: &str, shut: &'static str) {
        let drafts = drafts.split_whitespace().map(draft).collect();
        let shut = shut.split_whitespace().filter_map(|one| one.split_once(':'));
        let shut = shut.map(|(name, reason)| (server(name), reason)).collect();
        self.step(ContextEvent::Compose {
            token: ReplyToken::new(3),
            drafts,
            reach: RecipientReach { shut, deaf: self.deaf.clone() },
        });
    }

    /// Delivers the response to the request for this PDU from that server.
    pub(crate) fn fetched(&mut self, from: &str, wanted: &str, answered: bool, pdus: Vec<Pdu>) {
        let (from, wanted) = (server(from), at(wanted));
        let place = self.asked.iter().position(|asked| *asked == (from.clone(), wanted.clone()));
        self.asked.remove(place.expect("it was asked"));
        self.arrived.extend(pdus.iter().map(|pdu| ((from.clone(), pdu.reference.clone()), pdu.clone())));
        let known = self.look_up(&pdus);
        self.step(ContextEvent::Fetched {
            want: FetchRequest::Pdu(wanted),
            from,
            pdus,
            failed: silent(answered),
            known,
        });
        assert!(self.claimed.is_empty(), "claimed and neither stored nor released: {:?}", self.claimed);
    }

    /// Reports that the request for this PDU to that server was not sent, because too many are in flight.
    pub(crate) fn put_off(&mut self, from: &str, wanted: &str) {
        let (from, wanted) = (server(from), at(wanted));
        let place = self.asked.iter().position(|asked| *asked == (from.clone(), wanted.clone()));
        self.asked.remove(place.expect("it was asked"));
        self.tries.entry((from.clone(), wanted.clone())).and_modify(|(tries, _)| *tries -= 1);
        self.step(ContextEvent::PutOff { want: FetchRequest::Pdu(wanted), from, why: String::new() });
    }

    /// Reports that the request for this PDU to that server was not sent, because nothing is sent to it.
    pub(crate) fn declined(&mut self, from: &str, wanted: &str) {
        let (from, wanted) = (server(from), at(wanted));
        let place = self.asked.iter().position(|asked| *asked == (from.clone(), wanted.clone()));
        self.asked.remove(place.expect("it was asked"));
        self.tries.entry((from.clone(), wanted.clone())).and_modify(|(tries, _)| *tries -= 1);
        self.step(ContextEvent::Declined { want: FetchRequest::Pdu(wanted), from, why: String::new() });
    }

    /// Delivers the response to the `backfill` request that names this PDU, from that server.
    pub(crate) fn brought(&mut self, from: &str, named: &str, answered: bool, pdus: Vec<Pdu>) {
        let is_meant =
            |(of, want): &(ServerName, FetchRequest)| *of == server(from) && want.named().contains(&at(named));
        let place = self.stretches.iter().position(is_meant).expect("it was asked");
        let (from, want) = self.stretches.remove(place);
        self.arrived.extend(pdus.iter().map(|pdu| ((from.clone(), pdu.reference.clone()), pdu.clone())));
        let known = self.look_up(&pdus);
        self.step(ContextEvent::Fetched { want, from, pdus, failed: silent(answered), known });
        assert!(self.claimed.is_empty(), "claimed and neither stored nor released: {:?}", self.claimed);
    }

    /// Opens or closes intake from peers.
    pub(crate) fn intake(&mut self, open: bool) {
        self.step(ContextEvent::Intake { open });
    }

    /// Starts a join.
    pub(crate) fn join(&mut self, via: &str, backfill: u32) {
        self.step(ContextEvent::Join { token: ReplyToken::new(4), via: server(via), backfill });
    }

    /// Delivers the response to the oldest history request; `None`: there was none.
    pub(crate) fn told_of_the_past(&mut self, pdus: Option<Vec<Pdu>>) {
        let (from, want) = self.past.remove(0);
        let (answered, pdus) = (pdus.is_some(), pdus.unwrap_or_default());
        let known = self.look_up(&pdus);
        self.step(ContextEvent::Fetched { want, from, pdus, failed: silent(answered), known });
        assert!(self.claimed.is_empty(), "claimed and neither stored nor released: {:?}", self.claimed);
    }

    /// Lets time pass up to `at`; the timer fires whenever it is due.
    pub(crate) fn until(&mut self, at: u64) {
        while let Some(due) = self.due.filter(|due| due.0 <= at) {
            self.now = self.now.max(due);
            self.due = None;
            self.log.push(format!("-- {}", self.now));
            self.step(ContextEvent::Due);
            assert!(self.due.is_none_or(|due| due > self.now), "the timer fires again and again at {}", self.now);
        }
        self.now = self.now.max(Millis(at));
    }

    /// Stages PDUs of a batch that arrived while the context was busy.
    pub(crate) fn stage(&mut self, from: &str, pdus: Vec<Pdu>) {
        self.arrived.extend(pdus.iter().map(|pdu| ((server(from), pdu.reference.clone()), pdu.clone())));
        for pdu in pdus {
            let number = self.stage.last().map_or(1, |(last, _)| last.number + 1);
            let (reference, bytes, verified) = (pdu.reference.clone(), pdu.bytes.clone(), pdu.proof.word("mtls"));
            self.stage.push((StagedPdu { number, reference, from: server(from), verified, bytes }, pdu));
        }
    }

    /// Returns two staged PDUs, those of servers after `after` first; unreadable ones are named `bad`.
    fn give_stage(&mut self, after: Option<&ServerName>) {
        let readable = |pdu: &Pdu| if pdu.bytes.is_empty() { Err(ParkedCode::BadPdu) } else { Ok(pdu.clone()) };
        let is_later = |(staged, _): &&(StagedPdu, Pdu)| after.is_none_or(|after| staged.from > *after);
        let (later, earlier): (Vec<_>, Vec<_>) = self.stage.iter().partition(is_later);
        let page = later.into_iter().chain(earlier).take(2).map(|(staged, pdu)| (staged.clone(), readable(pdu)));
        let page = StagePage { pdus: page.collect() };
        let sound: Vec<Pdu> = page.pdus.iter().filter_map(|(_, pdu)| pdu.as_ref().ok().cloned()).collect();
        let known = self.look_up(&sound);
        self.step(ContextEvent::Staged { page, known });
        assert!(self.claimed.is_empty(), "claimed and neither stored nor released: {:?}", self.claimed);
    }

    /// Returns the quarantined PDUs that are to be accepted, in pages of two.
    pub(crate) fn take_back(&mut self) {
        while let Some((participants, after)) = self.take_back.take() {
            let takes_part = |(_, (from, pdu)): &(&u64, &(ServerName, Pdu))| {
                participants.contains(from) && participants.contains(&pdu.reference.origin)
            };
            let page = self.kept.range(after + 1..).filter(takes_part).take(2);
            let page: Vec<_> = page.map(|(number, kept)| (*number, kept.clone())).collect();
            for (place, (number, (from, pdu))) in page.iter().enumerate() {
                let is_own = |(other, own): &(ServerName, Pdu)| {
                    own.reference == pdu.reference && *other == own.reference.origin && other != from
                };
                let pdu = Some(pdu.clone()).filter(|_| !self.kept.values().any(is_own));
                let known = self.look_up(pdu.as_slice());
                let verified = pdu.as_ref().map_or("network", |pdu| pdu.proof.word("network"));
                let kept = Some(QuarantinedPdu { from: from.clone(), number: *number, verified, pdu });
                self.step(ContextEvent::Kept { kept, known, next: (place == 1).then_some((0, *number)) });
            }
            if page.len() < 2 {
                self.step(ContextEvent::TakenBack);
            }
        }
    }

    /// Restarts the process from its store; requests in flight are lost.
    pub(crate) fn restart(&mut self) {
        self.asked.clear();
        self.stretches.clear();
        self.past.clear();
        self.tries.clear();
        self.claimed.clear();
        (self.due, self.take_back) = (None, None);
        let mut rows: Vec<(usize, HeldPdu)> = vec![];
        for (reference, row) in &self.rows {
            let StoredRow::Held(held) = row else { continue };
            let HeldRow { hold, pdu, sender, age } = &**held;
            let state = pdu.state.clone().map(|StateSlot { key, power_level, prev, member }| {
                let (reference, power, bond) = (reference.clone(), power_level, PrevStateLink::Sound);
                ((pdu.kind.clone(), key), StateEntry { reference, power, prev, bond, member })
            });
            let (reference, received) = (reference.clone(), Millis(0));
            let (prev, hold, sender) = (pdu.prev.clone(), hold.clone(), sender.clone());
            let (narrowed, stated) = (pdu.to.is_some(), pdu.depth);
            let is_news = |parent: &PduRef| matches!(self.rows.get(parent), Some(StoredRow::Delivered(_, false)));
            let on_news = hold.for_state && prev.iter().any(is_news);
            rows.push((*age, HeldPdu { reference, prev, hold, received, sender, state, narrowed, stated, on_news }));
        }
        rows.sort_by_key(|(age, _)| *age);
        let held = rows.into_iter().map(|(_, held)| held).collect();
        let gaps = self.gaps.values().cloned().collect();
        let links = self.links.values().cloned().collect();
        let spilled = self.spilled.values().cloned();
        let whole = |mut record: ContextRecord| {
            record.heads.extend(spilled);
            record.heads.sort_by(|one, other| (one.depth, &one.reference).cmp(&(other.depth, &other.reference)));
            record
        };
        let load = self.record.clone().map(whole).map(|record| {
            let unfinished = self.unfinished;
            ContextSnapshot { record, held, gaps, links, unfinished }
        });
        self.machine =
            ContextMachine::new(context("room"), server("us"), self.limits.clone(), Arc::new(PrintedStep), load);
        self.log.push("-- restart".to_owned());
        self.step(ContextEvent::Started);
    }

    pub(crate) fn is_delivered(&self, reference: &PduRef) -> bool {
        matches!(self.rows.get(reference), Some(StoredRow::Delivered(..)))
    }

    pub(crate) fn record(&self) -> &ContextRecord {
        self.record.as_ref().expect("it exists")
    }

    fn look_up(&mut self, pdus: &[Pdu]) -> HashMap<PduRef, PduStatus> {
        let (arriving, parents) = self.machine.refs_to_look_up(pdus);
        let mut known = HashMap::new();
        for reference in arriving.iter().chain(&parents) {
            if let Some(elsewhere) = self.elsewhere.get(reference) {
                known.insert(reference.clone(), elsewhere.clone());
            }
            let context = context("room");
            match self.rows.get(reference) {
                Some(StoredRow::Delivered(depth, history)) => {
                    known.insert(reference.clone(), PduStatus::Delivered { context, depth: *depth, history: *history })
                }
                Some(StoredRow::Held(_)) => known.insert(reference.clone(), PduStatus::Held { context }),
                None => None,
            };
        }
        self.claimed = arriving.into_iter().filter(|reference| !known.contains_key(reference)).collect();
        known
    }

    /// Returns the effects of an event without performing them.
    pub(crate) fn decide(&mut self, event: ContextEvent) -> Vec<ContextEffect> {
        let reads = BelowEdge {
            held_by: &self.held_by,
            pieces: &self.pieces,
            rows: &self.rows,
            weighed: &self.weighed,
            kept: &self.kept,
            arrived: &self.arrived,
            shut: &self.shut,
        };
        let step = self.machine.step(self.now, event, &reads);
        poll_now(std::pin::pin!(step)).expect("the rows are in memory")
    }

    pub(crate) fn step(&mut self, event: ContextEvent) {
        let effects = self.decide(event);
        let mut reads_stage = None;
        for (place, effect) in effects.into_iter().enumerate() {
            match effect {
                ContextEffect::Commit(changes, _) => {
                    assert_eq!(place, 0, "the commit comes first");
                    self.commit(changes);
                }
                ContextEffect::HandedOver(ContextReply::Verdict(_, verdict)) => {
                    self.log.push(format!("verdicts {}", word(&verdict)));
                    self.verdicts = vec![verdict];
                }
                ContextEffect::HandedOver(ContextReply::Verdicts(_, verdicts)) => {
                    let words = verdicts.iter().map(word).collect::<Vec<_>>();
                    self.log.push(format!("verdicts {}", words.join(" ")));
                    self.verdicts = verdicts;
                }
                ContextEffect::HandedOver(other) => panic!("only verdicts are answered at once, not {other:?}"),
                ContextEffect::Answer(reply) => self.answer(reply),
                ContextEffect::AnswerReads(came) => self.log.push(format!("{came} came")),
                ContextEffect::Release(references) => {
                    for reference in references {
                        assert!(self.claimed.remove(&reference), "{reference} was not claimed, or was stored");
                        self.log.push(format!("release {reference}"));
                    }
                }
                ContextEffect::Fetch { of, want, cause } => {
                    self.charged.push((of.clone(), cause));
                    self.fetch(of, want);
                }
                ContextEffect::ReadStage { after } => reads_stage = Some(after),
                ContextEffect::TakeBack { participants, after, .. } => self.take_back = Some((participants, after.1)),
                ContextEffect::Arm(due) => self.due = Some(due),
                ContextEffect::Disarm => self.due = None,
            }
        }
        if let Some(after) = reads_stage {
            self.give_stage(after.as_ref());
        }
    }

    fn fetch(&mut self, of: ServerName, want: FetchRequest) {
        for reference in want.named() {
            let (tries, last) = self.tries.entry((of.clone(), reference.clone())).or_default();
            (*tries, *last) = (*tries + 1, self.now);
            assert!(*tries <= self.limits.gap.tries_max && of != server("us"));
        }
        match want {
            FetchRequest::Pdu(reference) => {
                self.log.push(format!("fetch {reference} from {of}"));
                self.asked.push((of, reference));
            }
            FetchRequest::State(_) => {
                self.log.push(format!("ask {of} for the state"));
                return self.past.push((of, want));
            }
            FetchRequest::History { ref from, limit, .. } => {
                self.log.push(format!("ask {of} for {limit} before {from:?}"));
                return self.past.push((of, want));
            }
            FetchRequest::Backfill { ref from, limit, .. } => {
                self.log.push(format!("fetch {limit} back from {from:?} from {of}"));
                self.stretches.push((of, want));
            }
        }
        let is_waited_for =
            |asked: &(ServerName, PduRef)| self.now < self.tries[asked].1.after(self.limits.gap.give_up);
        let singles = self.asked.iter().filter(|asked| is_waited_for(asked)).count();
        let first = |(of, want): &(ServerName, FetchRequest)| (of.clone(), want.named()[0].clone());
        let stretches = self.stretches.iter().filter(|stretch| is_waited_for(&first(stretch))).count();
        assert!(singles + stretches <= self.limits.gap.asks_max as usize);
    }

    fn answer(&mut self, reply: ContextReply) {
        match reply {
            ContextReply::Composed(_, outcomes) => {
                for outcome in outcomes {
                    self.log.push(match outcome {
                        Ok(composed) => format!("composed {} for {:?}", composed.reference, composed.peers),
                        Err(refusal) => format!("refused: {refusal}"),
                    });
                }
            }
            ContextReply::Set(_, Ok(())) => self.log.push(format!("set {:?}", self.record().participants)),
            ContextReply::Set(_, Err(refusal)) => self.log.push(format!("refused: {refusal}")),
            ContextReply::Repaired(_, RepairOutcome { arrived, refused, absent }) => {
                self.log.push(format!("repaired {arrived:?}, refused {refused:?}, absent {absent:?}"));
            }
            ContextReply::Verdicts(..) | ContextReply::Verdict(..) => panic!("verdicts do not wait for the commit"),
        }
    }

    /// Checks the log since the last call.
    pub(crate) fn expect(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.log), expected);
    }
}

/// Returns the reason if there is no response.
fn silent(answered: bool) -> Option<String> {
    (!answered).then(|| "silence".to_owned())
}
