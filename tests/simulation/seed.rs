//! One seed from its beginning to its verdict: chaos, then peace, then everybody must know everything within a bound.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::rc::Rc;
use std::sync::Once;

use fixtures::time::{millis, seconds, world};

use fastrand::Rng;

use crate::checker::rooms::Compared;
use crate::counts::Counts;
use crate::history::disturbance::Done;
use crate::trace::Trace;
use crate::world::World;
use crate::world::poison::PLAYED_POISON;

/// The command that runs a seed again.
pub(crate) fn command(seed: u64) -> String {
    format!("FERNPOST_SEED={seed} cargo test --test simulation -- --nocapture replay")
}

/// The result of a seed.
pub(crate) struct Outcome {
    /// Over its whole course.
    pub(crate) hash: u64,
    /// The faults that were found; empty if there are none.
    pub(crate) faults: Vec<String>,
    /// Counts of the final comparisons.
    pub(crate) compared: Compared,
    /// Number of times each deed was done and each path was seen.
    pub(crate) counts: Counts,
    /// The end of its course, for people.
    pub(crate) tail: String,
}

thread_local! {
    /// Panics of this run that were not ordered, wherever they were caught.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(vec![]) };
}

/// Panics that a run plays are caught by the gateway; printed, with a backtrace each, they would cost more than the run. All
/// others are faults: of the gateways, or of the tasks that play their messengers.
fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = take_hook();
        set_hook(Box::new(move |panic| {
            if !is_played(panic) {
                PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
                print(panic);
            }
        }));
    });
}

fn is_played(panic: &PanicHookInfo<'_>) -> bool {
    let text = panic.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
    text.is_some_and(|words| words.ends_with(", as the test asked") || words == PLAYED_POISON)
}

/// Run a seed. `speaks`: every event is printed as it happens.
pub(crate) fn run(seed: u64, speaks: bool) -> Outcome {
    note_panics();
    PANICS.take();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let _inside = runtime.enter();
    let trace = Trace::new(speaks);
    let course = world(course(seed, trace.clone()));
    let verdict = catch_unwind(AssertUnwindSafe(|| runtime.block_on(course)));
    let (mut faults, compared, counts) = verdict.unwrap_or_default();
    faults.extend(PANICS.take());
    Outcome { hash: trace.hash(), faults, compared, counts, tail: trace.tail(80) }
}

/// Runs a seed: its faults, its final comparisons, and its counts.
async fn course(seed: u64, trace: Trace) -> (Vec<String>, Compared, Counts) {
    let world = World::begin(seed, trace).await;
    let (faults, compared) = verdict(&world).await;
    let counts = world.counts.take();
    (faults, compared, counts)
}

async fn verdict(world: &Rc<World>) -> (Vec<String>, Compared) {
    world.network.becomes(world.plan.weather);
    let (mut said, mut next) = (0, 0);
    while said < world.plan.messages {
        step(world, &mut said, &mut next).await;
        world.let_in(said);
        world.whim();
    }
    world.heal().await;
    if let Some(restless) = settle(world).await {
        return (vec![restless], Compared::default());
    }
    if !world.plan.ends_quietly {
        say_last_words(world);
        if let Some(restless) = settle(world).await {
            return (vec![restless], Compared::default());
        }
    }
    // What is forgotten is asked for by nobody.
    let forgets = world.plan.forgets();
    if !forgets {
        world.read_back().await;
    }
    if let Some(restless) = settle(world).await {
        return (vec![restless], Compared::default());
    }
    let history = world.close(world.views().await);
    world.count_evicted();
    let mut faults = world.troubles.take();
    faults.extend(world.unsound());
    faults.extend(history.faults());
    world.counts.borrow_mut().add_seen(&history);
    let compared = if forgets { history.states(&mut faults) } else { history.rooms(&mut faults) };
    world.trace.note(&format!("{compared:?}"));
    (faults, compared)
}

/// Every server sends once more, because a restored server learns what it lacks from what arrives next.
fn say_last_words(world: &Rc<World>) {
    for member in &world.members {
        for (place, (room, _)) in world.plan.rooms.iter().enumerate().filter(|(_, (_, who))| who.contains(&member.name))
        {
            world.say_in(member, format!("{}-last{place}", member.name), room, None);
        }
        let to = world.numbered(member.name);
        if !to.is_empty() {
            world.update_to(member, format!("{}-last", member.name), to, 1);
        }
    }
}

/// One thing happens, and a little time passes.
async fn step(world: &Rc<World>, said: &mut u32, next: &mut u32) {
    let faults = &world.plan.faults;
    let weights = [
        (Deed::Say, 18),
        (Deed::Update, 9),
        (Deed::Whisper, 3),
        (Deed::Read, 4),
        (Deed::Pause, 10),
        (Deed::Rest, 2),
        (Deed::Cut, faults.cut),
        (Deed::Hold, faults.hold),
        (Deed::Mend, faults.cut + faults.hold),
        (Deed::Weather, faults.weather),
        (Deed::Crash, faults.crash),
        (Deed::Disk, faults.disk),
        (Deed::Restore, faults.restore),
        (Deed::Clock, faults.clock),
        (Deed::Sleep, faults.sleepy),
        (Deed::Panic, faults.panic),
        (Deed::Configure, faults.configure),
        (Deed::Group, if world.plan.group.is_some() { 9 } else { 0 }),
        (Deed::Part, if world.plan.relay.is_some() { 3 } else { 0 }),
    ];
    let deed = draw(&mut world.chance.borrow_mut(), &weights);
    *next += 1;
    world.note_panics();
    let member = world.anyone();
    match deed {
        Deed::Say => {
            *said += 1;
            world.say(&member, format!("m{next}"));
        }
        Deed::Update => {
            *said += 1;
            world.update(&member, format!("u{next}"));
        }
        Deed::Whisper => {
            let (from, to) = world.way();
            world.whisper(&from, to.name).await;
        }
        Deed::Read if !member.sleeps.get() => world.read(&member).await,
        Deed::Read => {}
        Deed::Pause => {
            let ms = world.chance.borrow_mut().u64(0..2000);
            millis(ms).await;
        }
        Deed::Rest => {
            let count = world.chance.borrow_mut().u64(1..60);
            seconds(count).await;
        }
        Deed::Cut => {
            let (from, to) = world.way();
            world.trace.note(&format!("cut: {} -> {}", from.name, to.name));
            world.count("a way is cut");
            world.disturb(Done::Way(from.name, to.name));
            world.network.cut(&from.node.name, &to.node.name);
            if world.chance.borrow_mut().bool() {
                world.disturb(Done::Way(to.name, from.name));
                world.network.cut(&to.node.name, &from.node.name);
            }
        }
        Deed::Hold => {
            let (from, to) = world.way();
            world.trace.note(&format!("held: {} -> {}", from.name, to.name));
            world.count("a way is held");
            world.disturb(Done::Way(from.name, to.name));
            world.network.hold(&from.node.name, &to.node.name);
        }
        Deed::Mend => {
            let (from, to) = world.way();
            for (from, to) in [(&from, &to), (&to, &from)] {
                world.network.mend(&from.node.name, &to.node.name);
                world.network.release(&from.node.name, &to.node.name);
                let way = Done::Way(from.name, to.name);
                world.relieve(|done| done == way);
            }
        }
        Deed::Weather => {
            world.count("the weather changes");
            let weather = match world.chance.borrow_mut().bool() {
                true => fixtures::network::CALM,
                false => world.plan.weather,
            };
            world.network.becomes(weather);
        }
        Deed::Crash => world.crash_somewhen(&member),
        Deed::Disk => world.break_disk(&member),
        Deed::Restore => world.copy_or_restore(&member),
        Deed::Clock => world.set_clock(&member),
        Deed::Sleep => {
            world.count("a messenger sleeps, or wakes");
            member.sleeps.set(!member.sleeps.get());
        }
        Deed::Panic => {
            world.trace.note(&format!("{}: an actor will panic", member.name));
            world.count("an actor is made to panic");
            world.disturb(Done::Panic(member.name));
            member.node.clock.break_once();
        }
        Deed::Configure => world.configure(&member),
        Deed::Part => world.part(),
        Deed::Group => world.say_in_group(format!("g{next}")),
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Say,
    Update,
    Whisper,
    Read,
    Pause,
    Rest,
    Cut,
    Hold,
    Mend,
    Weather,
    Crash,
    Disk,
    Restore,
    Clock,
    Sleep,
    Panic,
    Configure,
    /// The two servers that have a relay between them are cut from each other.
    Part,
    /// The server that knows a group says something in it.
    Group,
}

fn draw(chance: &mut Rng, weights: &[(Deed, u32)]) -> Deed {
    let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut left = chance.u32(..sum);
    for (deed, weight) in weights {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return *deed,
        }
    }
    unreachable!("what is drawn lies within the sum")
}

/// Wait until nobody has anything left to do, at most for as long as the plan allows. What is left to do then, if anything.
async fn settle(world: &Rc<World>) -> Option<String> {
    const LOOKS: u64 = 40;
    let mut restless = None;
    let mut quiet = 0;
    for _ in 0..LOOKS {
        let haste = world.plan.whims.haste();
        for _ in 0..haste {
            millis(world.plan.bound * 1000 / LOOKS / haste).await;
            for member in &world.members {
                world.read(member).await;
            }
        }
        world.join_again().await;
        world.release_everywhere().await;
        restless = world.is_quiet().await;
        quiet = if restless.is_none() && world.all_is_said() { quiet + 1 } else { 0 };
        // Twice in a row: something may have been on its way at the first look.
        if quiet >= 2 {
            restless = Some(world.awaits_receipt()?);
        }
    }
    let bound = world.plan.bound;
    Some(format!("after {bound} s of peace {}", restless.unwrap_or_else(|| "a messenger still waits".to_owned())))
}
