//! The last few attempts, for whoever asks where a message is. In memory only: the truth is in the outbox.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Ack, Answered, Attempt, Index, Millis, PushFailure};
use crate::peer::outbox::Span;

/// What a success says ...
const TAKEN: &str = "acknowledged";

/// ... and one that says nothing itself.
const BLIND: &str = "acknowledged, by an answer that is no JSON";

/// A bounded ring of attempts, newest last.
#[derive(Debug, Clone)]
pub struct Attempts {
    runs: VecDeque<Run>,
    keep: usize,
    last_error: Option<Arc<str>>,
}

/// [`Attempt`]s as they are kept. In a long outage one is like the other but for its time: like ones, in a row, share all else,
/// and like words are held once.
#[derive(Debug, Clone)]
struct Run {
    times: VecDeque<Millis>,
    first: Index,
    last: Index,
    result: Arc<str>,
}

impl Attempts {
    /// Keeps this many.
    pub fn new(keep: u32) -> Self {
        Self { runs: VecDeque::new(), keep: keep as usize, last_error: None }
    }

    /// An attempt ended.
    pub fn note(&mut self, time: Millis, span: Span, outcome: &Result<Answered, PushFailure>) {
        let result = match outcome {
            Ok(Answered { refused, .. }) if !refused.is_empty() => {
                let list: Vec<String> = refused.iter().map(|(pdu, why)| format!("{pdu}: {why}")).collect();
                format!("acknowledged, but it refused {}", list.join(", "))
            }
            Ok(Answered { ack: Ack::Ok(_) | Ack::Taken, .. }) => {
                self.last_error = None;
                // There is a ring for each peer, and these say little: a quarter of it is for them.
                if self.runs.iter().filter(|run| *run.result == *TAKEN).count() >= (self.keep / 4).max(1) {
                    self.forget_oldest();
                }
                TAKEN.to_owned()
            }
            Ok(Answered { ack: Ack::TakenBlindly, .. }) => {
                self.last_error = None;
                BLIND.to_owned()
            }
            Ok(Answered { ack: Ack::Hole { expected, .. }, .. }) => format!("it asked for {expected}"),
            Ok(Answered { ack: Ack::Wait(time), .. }) => format!("it asked us to wait {} s", time.as_secs()),
            Err(failure) => {
                let words = self.words(failure.to_string());
                self.last_error = Some(words.clone());
                return self.keep(time, span, words);
            }
        };
        let result = self.words(result);
        self.keep(time, span, result);
    }

    fn keep(&mut self, time: Millis, Span { first, last, .. }: Span, result: Arc<str>) {
        // Room is made first: a ring that grows for a moment stays as large.
        while self.len() >= self.keep.max(1) {
            self.forget_oldest();
        }
        if self.keep == 0 {
            return;
        }
        let like = |run: &&mut Run| run.first == first && run.last == last && run.result == result;
        match self.runs.back_mut().filter(like) {
            Some(run) => push(&mut run.times, time),
            None => push(&mut self.runs, Run { times: VecDeque::from([time]), first, last, result }),
        }
    }

    fn len(&self) -> usize {
        self.runs.iter().map(|run| run.times.len()).sum()
    }

    /// Successes first: a long queue on its way must not push out of sight what had held it up. That an item was taken is known
    /// without them.
    fn forget_oldest(&mut self) {
        let oldest = self.runs.iter().position(|run| *run.result == *TAKEN).unwrap_or(0);
        if let Some(run) = self.runs.get_mut(oldest) {
            run.times.pop_front();
            if run.times.is_empty() {
                self.runs.remove(oldest);
            }
        }
    }

    /// These words, shared with those that are kept already.
    fn words(&self, words: String) -> Arc<str> {
        let known = self.runs.iter().rev().map(|run| &run.result).chain(&self.last_error);
        known.into_iter().find(|known| ***known == *words).cloned().unwrap_or_else(|| words.into())
    }

    /// Why the newest attempt came to nothing.
    pub fn failed(&mut self, reason: String) {
        self.last_error = Some(self.words(reason));
    }

    /// Whether one of them was acknowledged by an answer that is no JSON.
    pub fn are_blind(&self) -> bool {
        self.runs.iter().any(|run| *run.result == *BLIND)
    }

    /// What the last failed attempt said, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// All that are kept, oldest first.
    pub fn kept(&self) -> Vec<Attempt> {
        let told = |run: &Run, time: &Millis| {
            let Run { first, last, result, .. } = run;
            Attempt { time: *time, first: *first, last: *last, result: result.to_string() }
        };
        self.runs.iter().flat_map(|run| run.times.iter().map(move |time| told(run, time))).collect()
    }
}

/// One more, with as little room beside it as may be: there is a ring for each peer, and it does not grow for long.
fn push<T>(ring: &mut VecDeque<T>, item: T) {
    if ring.len() == ring.capacity() {
        ring.reserve_exact(1 + ring.len() / 4);
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

    /// Each item is shown with the attempt that carried it, and with the time of that.
    #[test]
    fn a_queue_on_its_way_pushes_out_its_own_successes_and_no_failure() {
        let span = |n| Span { first: Index(n), last: Index(n), first_number: Seq(n), last_number: Seq(n) };
        let mut attempts = Attempts::new(12);
        attempts.note(Millis(0), span(1), &Err(PushFailure::TimedOut));
        for n in 1..=9 {
            let taken = Answered { ack: Ack::Ok(Seq(n)), window: None, refused: vec![] };
            attempts.note(Millis(n * 10), span(n), &Ok(taken));
        }
        let kept = |attempts: &Attempts| attempts.kept().iter().map(|a| (a.time.0, a.first.0)).collect::<Vec<_>>();
        assert_eq!(kept(&attempts), [(0, 1), (70, 7), (80, 8), (90, 9)]);
        for n in 0..12 {
            attempts.note(Millis(100 + n), span(10), &Err(PushFailure::TimedOut));
        }
        assert_eq!(kept(&attempts), (0..12).map(|n| (100 + n, 10)).collect::<Vec<_>>(), "the newest of all count");
    }

    /// A destination that is offline must not cost more with every attempt.
    #[test]
    fn a_long_outage_is_remembered_in_a_few_words() {
        let span = Span { first: Index(1), last: Index(1), first_number: Seq(1), last_number: Seq(1) };
        let mut attempts = Attempts::new(20);
        for n in 0..1000 {
            let failure = if n % 3 == 0 { PushFailure::TimedOut } else { PushFailure::Unreachable("gone".into()) };
            attempts.note(Millis(n), span, &Err(failure.clone()));
            attempts.failed(failure.to_string());
        }
        assert_eq!(attempts.kept().len(), 20);
        assert_eq!(attempts.kept()[19].time, Millis(999));
        let texts: std::collections::HashSet<_> = attempts.runs.iter().map(|run| run.result.as_ptr()).collect();
        assert_eq!((texts.len(), attempts.runs.len()), (2, 14), "two texts, each once; like attempts in a row are one");
        assert!(attempts.runs.capacity() <= 20 && attempts.runs.iter().all(|run| run.times.capacity() <= 4));
        assert_eq!(attempts.last_error(), Some("no answer within the deadline"));
    }
}
