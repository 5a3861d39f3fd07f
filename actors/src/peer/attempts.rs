//! The last few attempts, for whoever asks where a message is. In memory only: the truth is in the outbox.

use std::collections::VecDeque;

use crate::model::{Ack, Answered, Attempt, Millis, PushFailure};
use crate::peer::outbox::Span;

/// A bounded ring of attempts, newest last.
#[derive(Debug, Clone)]
pub struct Attempts {
    ring: VecDeque<Attempt>,
    keep: usize,
    last_error: Option<String>,
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
                self.last_error = Some(failure.to_string());
                failure.to_string()
            }
        };
        // A run of like outcomes is one line: a long outage must not push the beginning out of sight for nothing.
        if let Some(newest) = self.ring.back_mut()
            && newest.result == result
            && result == "acknowledged"
            && newest.last.next() == first
        {
            newest.last = last;
            newest.time = time;
            return;
        }
        self.ring.push_back(Attempt { time, first, last, result });
        while self.ring.len() > self.keep {
            self.ring.pop_front();
        }
    }

    /// Why the newest attempt came to nothing.
    pub fn failed(&mut self, reason: String) {
        self.last_error = Some(reason);
    }

    /// What the last failed attempt said, until one succeeds.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// All that are kept, oldest first.
    pub fn kept(&self) -> Vec<Attempt> {
        self.ring.iter().cloned().collect()
    }
}
