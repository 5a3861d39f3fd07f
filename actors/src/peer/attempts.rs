//! The last few attempts, for whoever asks where a message is. In memory only: the truth is in the outbox.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::model::{Ack, Answered, Attempt, Index, Millis, PushFailure};
use crate::peer::outbox::Span;

/// A bounded ring of attempts, newest last.
#[derive(Debug, Clone)]
pub struct Attempts {
    ring: VecDeque<Kept>,
    keep: usize,
    last_error: Option<Arc<str>>,
}

/// An [`Attempt`] as it is kept. In a long outage one reads like the other, and the words are the most of it: like words are
/// held once.
#[derive(Debug, Clone)]
struct Kept {
    time: Millis,
    first: Index,
    last: Index,
    result: Arc<str>,
}

impl Attempts {
    /// Keeps this many.
    pub fn new(keep: u32) -> Self {
        Self { ring: VecDeque::new(), keep: keep as usize, last_error: None }
    }

    /// An attempt ended.
    pub fn note(&mut self, time: Millis, span: Span, outcome: &Result<Answered, PushFailure>) {
        let Span { first, last, .. } = span;
        let result = match outcome {
            Ok(Answered { refused, .. }) if !refused.is_empty() => {
                let list: Vec<String> = refused.iter().map(|(pdu, why)| format!("{pdu}: {why}")).collect();
                format!("acknowledged, but it refused {}", list.join(", "))
            }
            Ok(Answered { ack: Ack::Ok(_) | Ack::Taken, .. }) => {
                self.last_error = None;
                "acknowledged".to_owned()
            }
            Ok(Answered { ack: Ack::Hole { expected, .. }, .. }) => format!("it asked for {expected}"),
            Ok(Answered { ack: Ack::Wait(time), .. }) => format!("it asked us to wait {} s", time.as_secs()),
            Err(failure) => {
                let words = self.words(failure.to_string());
                self.last_error = Some(words.clone());
                return self.keep(Kept { time, first, last, result: words });
            }
        };
        // A run of like outcomes is one line: a long outage must not push the beginning out of sight for nothing.
        if let Some(newest) = self.ring.back_mut()
            && *newest.result == *result
            && result == "acknowledged"
            && newest.last.next() == first
        {
            newest.last = last;
            newest.time = time;
            return;
        }
        let result = self.words(result);
        self.keep(Kept { time, first, last, result });
    }

    fn keep(&mut self, kept: Kept) {
        // Room is made first: a ring that grows for a moment stays as large.
        while self.ring.len() >= self.keep.max(1) {
            self.ring.pop_front();
        }
        if self.keep > 0 {
            if self.ring.len() == self.ring.capacity() {
                self.ring.reserve_exact(4);
            }
            self.ring.push_back(kept);
        }
    }

    /// These words, shared with those that are kept already.
    fn words(&self, words: String) -> Arc<str> {
        let known = self.ring.iter().rev().map(|kept| &kept.result).chain(&self.last_error);
        known.into_iter().find(|known| ***known == *words).cloned().unwrap_or_else(|| words.into())
    }

    /// Why the newest attempt came to nothing.
    pub fn failed(&mut self, reason: String) {
        self.last_error = Some(self.words(reason));
    }

    /// What the last failed attempt said, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// All that are kept, oldest first.
    pub fn kept(&self) -> Vec<Attempt> {
        let told = |kept: &Kept| {
            let Kept { time, first, last, result } = kept;
            Attempt { time: *time, first: *first, last: *last, result: result.to_string() }
        };
        self.ring.iter().map(told).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Seq;

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
        let texts: std::collections::HashSet<_> = attempts.ring.iter().map(|kept| kept.result.as_ptr()).collect();
        assert_eq!(
            (texts.len(), attempts.ring.capacity()),
            (2, 20),
            "two texts, each once; the ring as large as it has to be"
        );
        assert_eq!(attempts.last_error(), Some("no answer within the deadline"));
    }
}
