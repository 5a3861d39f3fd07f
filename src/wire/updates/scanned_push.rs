//! A push of a peer as one pass over its body finds it.

use std::collections::VecDeque;

use actors::model::Seq;

use crate::json::scanned_update::ScannedUpdate;
use crate::json::scanner::{JsonScanner, ScannedValue};
use crate::wire::receipts::OF_UPDATES;

/// Largest sequence number: readers with any integer type agree on numbers up to here.
pub(super) const SEQ_MAX: u64 = i64::MAX as u64;

/// Maximum number of weak updates that are read of one push. The core keeps `weak_items` of these.
pub(super) const WEAK_KEPT_MAX: usize = 1_000;

/// A push that is valid.
pub(super) struct ScannedPush<'a> {
    pub(super) strong: Vec<ScannedUpdate<'a>>,
    /// The last weak updates, each as its text.
    pub(super) weak: VecDeque<&'a str>,
    /// Number of all weak updates.
    pub(super) weak_count: usize,
    pub(super) seq: Seq,
    pub(super) from_seq: Option<Seq>,
    /// Members that may be receipts.
    pub(super) receipts: Vec<(&'a str, ScannedValue<'a>)>,
}

impl<'a> ScannedPush<'a> {
    /// Reads a push with at most `max` strong updates that nests at most `levels` deep. `None`: it is none, or too unusual to be read
    /// here, so that the parser has to read it and say what is wrong.
    pub(super) fn read(body: &'a [u8], max: usize, levels: usize) -> Option<Self> {
        let mut scanner = JsonScanner::new(std::str::from_utf8(body).ok()?);
        let (mut strong, mut weak, mut weak_count) = (None, None, 0);
        let (mut seq, mut from_seq) = (None, None);
        let (mut receipts, mut others) = (Vec::new(), Vec::new());
        let depth = scanner.members(|key, scanner| match key {
            "strong" if strong.is_none() => {
                let updates = strong.insert(Vec::new());
                scanner.items(|scanner| {
                    let update = ScannedUpdate::read(scanner).filter(|_| updates.len() < max)?;
                    updates.push(update);
                    Some(update.depth)
                })
            }
            "weak" if weak.is_none() => {
                let kept = weak.insert(VecDeque::new());
                scanner.items(|scanner| {
                    let value = scanner.value()?;
                    if kept.len() == WEAK_KEPT_MAX {
                        kept.pop_front();
                    }
                    kept.push_back(value.text);
                    weak_count += 1;
                    Some(value.depth)
                })
            }
            "seq" if seq.is_none() => {
                seq = Some(number(scanner)?);
                Some(0)
            }
            "from_seq" if from_seq.is_none() => {
                from_seq = Some(number(scanner)?);
                Some(0)
            }
            // A key that is there twice is refused, and one with escapes may be any.
            _ if key.contains('\\') || others.contains(&key) || others.len() == OTHERS_MAX => None,
            "strong" | "weak" | "seq" | "from_seq" => None,
            _ => {
                let value = scanner.value()?;
                others.push(key);
                if OF_UPDATES.has(key) {
                    receipts.push((key, value));
                }
                Some(value.depth)
            }
        })?;
        let is_sound = scanner.is_at_end() && depth as usize <= levels;
        let (strong, weak) = (strong.unwrap_or_default(), weak.unwrap_or_default());
        is_sound.then_some(Self { strong, weak, weak_count, seq: seq?, from_seq, receipts })
    }
}

/// Maximum number of other keys that are compared one by one.
const OTHERS_MAX: usize = 16;

fn number(scanner: &mut JsonScanner<'_>) -> Option<Seq> {
    scanner.value()?.text.parse().ok().filter(|number| *number <= SEQ_MAX).map(Seq)
}
