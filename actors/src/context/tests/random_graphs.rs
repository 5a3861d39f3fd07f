//! Random graphs: up to 200 PDUs of three servers in any order, some withheld for a while or for ever, with repeats and
//! restarts. In every case the messenger receives each PDU once, after its parents, and is notified of each gap.

use std::collections::{BTreeSet, HashMap, VecDeque};

use proptest::prelude::*;
use proptest::sample::Index;

use crate::context::tests::harness::{DeliveredRow, FeedEntry, MachineHarness, at, pdu};
use crate::limits::ContextLimits;
use crate::model::{FetchRequest, Pdu, PduRef, ServerName};

/// The way in which one PDU reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NetworkFate {
    Comes,
    /// It arrives also a second time, in another batch.
    ComesTwice,
    /// It does not arrive by itself; one of the servers returns it on request.
    MustBeFetched,
    /// It arrives when its children have been delivered without it.
    ComesLate,
    Never,
}

#[derive(Debug, Clone)]
struct GraphSeed {
    origin: usize,
    prev: Vec<Index>,
    fate: NetworkFate,
    /// Its position among the others.
    order: u16,
}

fn seed() -> impl Strategy<Value = GraphSeed> {
    use NetworkFate::*;
    let fate = prop_oneof![
        12 => Just(Comes), 3 => Just(ComesTwice), 2 => Just(MustBeFetched), 1 => Just(ComesLate), 1 => Just(Never),
    ];
    (0..3_usize, prop::collection::vec(any::<Index>(), 0..4), fate, any::<u16>())
        .prop_map(|(origin, prev, fate, order)| GraphSeed { origin, prev, fate, order })
}

const SERVERS: [&str; 3] = ["blue", "green", "red"];

/// Returns the graph of the seeds: each PDU names parents among the ten before it.
fn graph(seeds: &[GraphSeed]) -> Vec<Pdu> {
    let name = |n: usize| format!("{}/{n:03}", SERVERS[seeds[n].origin]);
    let one = |(n, seed): (usize, &GraphSeed)| {
        let from = n.saturating_sub(10);
        let parents = seed.prev.iter().filter(|_| n > 0).map(|index| name(from + index.index(n - from)));
        pdu(&format!("{}<{}", name(n), parents.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")))
    };
    seeds.iter().enumerate().map(one).collect()
}

struct GraphWorld {
    desk: MachineHarness,
    /// The PDUs that servers return on request.
    servable: HashMap<PduRef, Pdu>,
    /// Requests that failed the first time.
    failed: BTreeSet<(ServerName, PduRef)>,
}

impl GraphWorld {
    /// Answers requests in flight and those that follow from the responses; some fail the first time.
    fn answer(&mut self) {
        loop {
            if let Some((from, wanted)) = self.desk.asked.first().cloned() {
                let is_reached = self.is_reached(&from, &wanted);
                let found = self.servable.get(&wanted).filter(|_| is_reached && from == wanted.origin);
                let pdus = found.cloned().into_iter().collect();
                self.desk.fetched(from.as_str(), &wanted.to_string(), is_reached, pdus);
            } else if let Some((from, want)) = self.desk.stretches.first().cloned() {
                let named = want.named()[0].clone();
                let is_reached = self.is_reached(&from, &named);
                let pdus = if is_reached { self.stretch(&from, &want) } else { vec![] };
                self.desk.brought(from.as_str(), &named.to_string(), is_reached, pdus);
            } else {
                return;
            }
        }
    }

    fn is_reached(&mut self, from: &ServerName, wanted: &PduRef) -> bool {
        wanted.id.as_str().ends_with(['1', '4', '7']) || !self.failed.insert((from.clone(), wanted.clone()))
    }

    /// Returns the response of a server to `backfill`, if it has only its own PDUs.
    fn stretch(&self, from: &ServerName, want: &FetchRequest) -> Vec<Pdu> {
        let FetchRequest::Backfill { from: named, limit, .. } = want else { return vec![] };
        let mut pdus: Vec<Pdu> = vec![];
        let mut ahead: VecDeque<&PduRef> = named.iter().collect();
        while let Some(reference) = ahead.pop_front() {
            let is_new = pdus.iter().all(|pdu| pdu.reference != *reference);
            if let Some(pdu) = self.servable.get(reference).filter(|_| is_new && reference.origin == *from) {
                ahead.extend(&pdu.prev);
                pdus.push(pdu.clone());
            }
        }
        pdus.truncate(*limit as usize);
        pdus
    }

    fn pass(&mut self, ms: u64) {
        let end = self.desk.now.0 + ms;
        while self.desk.due.is_some_and(|due| due.0 <= end) {
            self.desk.until(self.desk.due.map_or(end, |due| due.0));
            self.answer();
        }
        self.desk.until(end);
    }

    /// Runs until no PDU is waited for.
    fn settle(&mut self) {
        let mut rounds = 0;
        while !self.desk.machine.is_idle() {
            assert!(self.desk.due.is_some(), "it waits for nothing, for ever");
            rounds += 1;
            assert!(rounds < 1000, "it never ends");
            self.pass(1000);
        }
    }
}

#[derive(Debug, Clone)]
struct GraphPlan {
    seeds: Vec<GraphSeed>,
    sizes: Vec<usize>,
    restarts: Vec<bool>,
    pauses: Vec<u64>,
    adopted: bool,
    held_max: u32,
}

fn plan() -> impl Strategy<Value = GraphPlan> {
    let sizes = prop::collection::vec(1..20_usize, 1..8);
    let restarts = prop::collection::vec(prop::bool::weighted(0.15), 1..8);
    let pauses = prop::collection::vec(prop_oneof![Just(0), Just(300), Just(2000), Just(30_000)], 1..8);
    let held_max = prop_oneof![4 => Just(1000), 1 => 1..20_u32];
    (prop::collection::vec(seed(), 1..200), sizes, restarts, pauses, prop::bool::weighted(0.3), held_max).prop_map(
        |(seeds, sizes, restarts, pauses, adopted, held_max)| GraphPlan {
            seeds,
            sizes,
            restarts,
            pauses,
            adopted,
            held_max,
        },
    )
}

/// Delivers the PDUs in this order, in batches, with pauses and restarts.
fn bring(world: &mut GraphWorld, plan: &GraphPlan, mut pdus: Vec<Pdu>) {
    let mut batch = 0;
    while !pdus.is_empty() {
        let size = plan.sizes[batch % plan.sizes.len()].min(pdus.len());
        let rest = pdus.split_off(size);
        let from = pdus[0].reference.origin.to_string();
        world.desk.arrive(&from, std::mem::replace(&mut pdus, rest));
        world.pass(plan.pauses[batch % plan.pauses.len()]);
        if plan.restarts[batch % plan.restarts.len()] {
            world.desk.restart();
        }
        batch += 1;
    }
}

fn play(plan: &GraphPlan) -> (GraphWorld, Vec<Pdu>) {
    let graph = graph(&plan.seeds);
    let mut desk = MachineHarness::new(ContextLimits { held_max: plan.held_max, ..ContextLimits::default() });
    if plan.adopted {
        // The context is created by a peer; the other servers are added before their PDUs arrive.
        desk.arrive("red", vec![pdu("red/first<red/before")]);
    }
    desk.participants(&SERVERS.join(" "));
    let fetched = |n: &usize| plan.seeds[*n].fate == NetworkFate::MustBeFetched;
    let servable = (0..graph.len()).filter(fetched).map(|n| (graph[n].reference.clone(), graph[n].clone())).collect();
    let mut world = GraphWorld { desk, servable, failed: BTreeSet::new() };
    let mut order: Vec<(u16, usize)> = vec![];
    for (n, seed) in plan.seeds.iter().enumerate() {
        match seed.fate {
            NetworkFate::Comes => order.push((seed.order, n)),
            NetworkFate::ComesTwice => order.extend([(seed.order, n), (seed.order.wrapping_mul(31), n)]),
            NetworkFate::MustBeFetched | NetworkFate::ComesLate | NetworkFate::Never => {}
        }
    }
    order.sort_unstable();
    bring(&mut world, plan, order.into_iter().map(|(_, n)| graph[n].clone()).collect());
    world.settle();
    let late = plan.seeds.iter().zip(&graph).filter(|(seed, _)| seed.fate == NetworkFate::ComesLate);
    bring(&mut world, plan, late.map(|(_, pdu)| pdu.clone()).rev().collect());
    world.settle();
    (world, graph)
}

/// Compares the feed with the graph.
fn check(world: &GraphWorld, plan: &GraphPlan, graph: &[Pdu]) {
    let mut seen: HashMap<PduRef, &DeliveredRow> = HashMap::new();
    let (mut named, mut open, mut announced) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut lates, mut filled) = (BTreeSet::new(), BTreeSet::new());
    for told in &world.desk.told {
        match told {
            FeedEntry::Gap(missing) => announced.extend(missing.iter().cloned()),
            FeedEntry::Filled(reference) => assert!(filled.insert(reference.clone()), "{reference} is filled once"),
            FeedEntry::Pdu(one) => {
                let absent: Vec<&PduRef> = one.prev.iter().filter(|parent| !seen.contains_key(parent)).collect();
                let beyond = |parent: &PduRef| *parent == at("red/before");
                let gap: Vec<&PduRef> = absent.into_iter().filter(|parent| !beyond(parent)).collect();
                assert_eq!(one.gap.iter().collect::<Vec<_>>(), gap, "what {} comes without", one.reference);
                assert!(one.gap.iter().all(|parent| announced.contains(parent)), "a gap is told before its children");
                assert_eq!(one.late, named.contains(&one.reference), "{} comes after a child", one.reference);
                if one.late {
                    lates.insert(one.reference.clone());
                }
                open.remove(&one.reference);
                open.extend(one.gap.iter().cloned());
                named.extend(one.prev.iter().cloned());
                assert!(seen.insert(one.reference.clone(), one).is_none(), "{} comes once", one.reference);
            }
        }
    }
    assert_eq!(filled, lates, "what was given up and came is told");
    for (seed, pdu) in plan.seeds.iter().zip(graph) {
        let is_seen = seen.contains_key(&pdu.reference);
        match seed.fate {
            NetworkFate::Comes | NetworkFate::ComesTwice | NetworkFate::ComesLate => {
                assert!(is_seen, "{} is missing", pdu.reference);
            }
            NetworkFate::Never => assert!(!is_seen),
            // A PDU that no PDU names is not requested.
            NetworkFate::MustBeFetched => {
                assert!(is_seen || !named.contains(&pdu.reference) || open.contains(&pdu.reference));
            }
        }
    }
    let kept: BTreeSet<PduRef> =
        world.desk.gaps.values().filter(|gap| !gap.edge).map(|gap| gap.missing.clone()).collect();
    assert_eq!(kept, open, "the gaps kept are those the messenger knows of");
    let is_whole = plan.held_max == 1000;
    let never = |reference: &PduRef| {
        let fate = graph.iter().position(|pdu| pdu.reference == *reference).map(|n| plan.seeds[n].fate);
        fate == Some(NetworkFate::Never)
    };
    assert!(!is_whole || open.iter().all(never), "only what never came is a gap in the end: {open:?}");
    let heads: BTreeSet<PduRef> =
        world.desk.machine.status().record.heads.into_iter().map(|head| head.reference).collect();
    let unnamed: BTreeSet<PduRef> = seen.keys().filter(|reference| !named.contains(reference)).cloned().collect();
    assert_eq!(heads, unnamed, "the edges are what nobody named");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_graph_delivered_causally_once(plan in plan()) {
        let (world, graph) = play(&plan);
        check(&world, &plan, &graph);
    }
}
