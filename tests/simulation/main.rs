//! Many gateways in one thread and in virtual time, and everything that can happen to them, drawn from a seed.
//!
//! A seed is two to five gateways with real stores on disks in memory, real actors, real handlers and real wire bytes; each
//! has a toy messenger. `plan` draws who is there, under which small limits and which faults; `seed` plays it: first chaos,
//! then peace, within which everybody must know everything after a bounded time. `late` are those who come into a room amid the
//! chaos, `whims` what operators and slow readers do; in the end everybody reads back, and what all show of a room is compared (`view`). What happened is written down as a
//! `history`, and `checker` holds that against the promises. `trace` is the course in words; the same seed takes the same.
//!
//! A seed that fails prints the command that runs it again. `scripts/soak.sh` runs many.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

mod checker;
mod counts;
mod history;
mod plan;
mod seed;
mod trace;
mod world;

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use checker::rooms::Compared;
use counts::Counts;

/// Seeds of an ordinary test run.
const SEEDS: Range<u64> = 0..500;

/// The seeds to run: `FERNPOST_SEEDS=FIRST..LAST` (without the last) instead of the usual ones.
fn given_seeds() -> Option<Range<u64>> {
    let given = std::env::var("FERNPOST_SEEDS").ok()?;
    let (first, last) = given.split_once("..").expect("FERNPOST_SEEDS is FIRST..LAST");
    Some(first.parse().expect("a number")..last.parse().expect("a number"))
}

/// The results of all seeds.
#[derive(Default)]
struct Report {
    failed: Vec<u64>,
    compared: Compared,
    counts: Counts,
}

/// The seeds of this run, on all cores, once.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let seeds = given_seeds().unwrap_or(SEEDS);
        let (next, threads) = (AtomicU64::new(seeds.start), std::env::var("FERNPOST_THREADS").ok());
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.map_or_else(cores, |threads| threads.parse().expect("a number"));
        let mut report = thread::scope(|scope| {
            let run = || {
                check(
                    std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)))
                        .take_while(|seed| *seed < seeds.end),
                )
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let mut report = Report::default();
            for thread in threads {
                let part = thread.join().expect("a seed that panics has failed, and no more");
                report.failed.extend(part.failed);
                report.compared += part.compared;
                report.counts += part.counts;
            }
            report
        });
        report.failed.sort_unstable();
        println!("{:?}\n{}", report.compared, report.counts);
        report
    })
}

fn check(seeds: impl Iterator<Item = u64>) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        let outcome = seed::run(seed, false);
        println!("seed {seed}");
        report.compared += outcome.compared;
        report.counts += outcome.counts;
        if !outcome.faults.is_empty() {
            println!("seed {seed} failed:\n{}{}", outcome.tail, listed(&outcome.faults));
            println!("again: {}", seed::command(seed));
            report.failed.push(seed);
        }
    }
    report
}

fn listed(faults: &[String]) -> String {
    faults.iter().take(20).map(|fault| format!("  {fault}\n")).collect()
}

/// An acknowledged item arrives unchanged, once and in order, or a messenger is told otherwise, for a cause.
#[test]
fn seeds_keep_every_promise() {
    let failed = &report().failed;
    assert!(failed.is_empty(), "seeds that failed: {failed:?}; each says above how it is run again");
}

/// A fault that is never played and a path that is never taken are not tested. Of the usual seeds none of them is missing.
#[test]
fn seeds_take_every_path() {
    if given_seeds().is_none() {
        let missing = report().counts.missing();
        assert!(missing.is_empty(), "never once in {SEEDS:?}: {missing:?}");
    }
}

/// Runs one seed, `FERNPOST_SEED` or a usual one, in words and twice: the same seed takes the same course.
#[test]
fn replay() {
    let given = std::env::var("FERNPOST_SEED").ok();
    let seed = given.as_ref().map_or(1, |seed| seed.parse().expect("a seed is a number"));
    let outcome = seed::run(seed, given.is_some());
    assert!(outcome.faults.is_empty(), "seed {seed}:\n{}", listed(&outcome.faults));
    assert_eq!(outcome.hash, seed::run(seed, false).hash, "seed {seed} took another course the second time");
}
