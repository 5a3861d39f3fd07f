//! An ephemeral item is sent at most once, unchanged, within its lifetime, and not after a newer item of its key.

use std::collections::{BTreeMap, HashMap};

use crate::checker::COMMIT_MAX;
use crate::history::exchange::{Exchange, Outcome};
use crate::history::stamps::{before, millis_of};
use crate::history::{History, Whisper};

impl History {
    pub(super) fn whispers(&self, faults: &mut Vec<String>) {
        let said: HashMap<&str, &Whisper> = self.whispers.iter().map(|said| (&*said.text, said)).collect();
        let mut sent = BTreeMap::new();
        let mut newest = BTreeMap::new();
        for exchange in &self.exchanges {
            let way = format!("{} -> {}", exchange.from, exchange.to);
            for text in &exchange.weak {
                let Some(&whisper) = said.get(&**text) else {
                    faults.push(format!("{way}: {text} is ephemeral, and nobody said it"));
                    continue;
                };
                if (whisper.from, whisper.to) != (exchange.from, exchange.to) {
                    faults.push(format!("{way}: {text} is ephemeral, and was for {}", whisper.to));
                }
                // One that was certainly not taken rides again.
                let not_taken =
                    |exchange: &Exchange| matches!(exchange.ended, Some((_, Outcome::Wait | Outcome::Unreachable)));
                if sent.insert(text, exchange).is_some_and(|before| !not_taken(before)) {
                    faults.push(format!("{way}: {text} is ephemeral, and was sent twice"));
                }
                let jumped =
                    |(server, at): &(_, _)| *server == exchange.from && whisper.begun < *at && *at < exchange.begun;
                // A request may be put together and wait for a commit before it goes out.
                if whisper.until + COMMIT_MAX < millis_of(exchange.begun) && !self.jumps.iter().any(jumped) {
                    faults.push(format!("{way}: {text} is ephemeral, and was sent after its life"));
                }
                if let Some(key) = &whisper.key {
                    let last = newest.insert((whisper.from, whisper.to, key), whisper.begun);
                    if last.is_some_and(|last| whisper.begun < last) {
                        faults.push(format!("{way}: {text} is ephemeral, and was sent after a newer one of its key"));
                    }
                    let mut newer = self.whispers.iter().filter(|other| {
                        (other.from, other.to, other.key.as_ref()) == (whisper.from, whisper.to, Some(key))
                    });
                    let replaced = before(exchange.begun, COMMIT_MAX);
                    if newer.any(|other| whisper.begun < other.begun && other.begun < replaced) {
                        faults.push(format!("{way}: {text} is ephemeral, and was replaced before it was sent"));
                    }
                }
            }
        }
    }
}
