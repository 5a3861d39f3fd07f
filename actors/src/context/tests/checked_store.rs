//! The store of the harness: it refuses every change that contradicts its rows.

use crate::change::Change;
use crate::context::tests::harness::{DeliveredRow, FeedEntry, HeldRow, MachineHarness, StoredRow, at, server};
use crate::model::{Delivery, FeedItem, GroupSubmission, ParkedWhat, PduRef, PduState, Submission, SubmittedContent};

impl MachineHarness {
    pub(super) fn commit(&mut self, changes: Vec<Change>) {
        let last = changes.len() - 1;
        for (place, change) in changes.into_iter().enumerate() {
            match change {
                Change::PduStored(stored) => {
                    let reference = stored.pdu.reference.clone();
                    self.claimed.remove(&reference);
                    assert!(!self.rows.contains_key(&reference), "{reference} is stored twice");
                    self.prevs.insert(reference.clone(), stored.pdu.prev.clone());
                    match stored.standing {
                        PduState::Named { depth } => {
                            assert!(stored.pdu.bytes.is_empty() && !stored.pdu.is_for(&server("us")));
                            self.log.push(format!("name {reference} at {depth}"));
                            self.rows.insert(reference, StoredRow::Delivered(depth, false));
                        }
                        PduState::Delivered(delivery) => {
                            assert!(delivery.shown.is_some() || stored.verified == "own");
                            self.deliver(&reference, delivery);
                        }
                        PduState::Held(hold) => {
                            self.log.push(format!("hold {reference} for {:?}{}", hold.missing, edge(hold.edge)));
                            let (pdu, sender, age) = (stored.pdu, stored.sender, self.prevs.len());
                            self.rows.insert(reference, StoredRow::Held(Box::new(HeldRow { hold, pdu, sender, age })));
                        }
                    }
                }
                Change::PduDelivered { reference, delivery, .. } => {
                    assert!(matches!(self.rows.get(&reference), Some(StoredRow::Held(_))), "{reference} is not held");
                    self.deliver(&reference, delivery);
                }
                Change::PduHeld { reference, hold: new, .. } => match self.rows.get_mut(&reference) {
                    Some(StoredRow::Held(held)) => held.hold = new,
                    _ => panic!("{reference} is not held"),
                },
                Change::StateEventStored { key, piece, .. } => {
                    assert!(matches!(self.rows.get(&piece.reference), Some(StoredRow::Delivered(..))));
                    self.pieces.entry(key).or_default().insert(piece.reference.clone(), piece);
                }
                Change::CurrentStateChanged { key, current, .. } => match current {
                    Some(current) => {
                        self.log.push(format!("state {} = {}", key.1, current.reference));
                        self.held_by.insert(key, current);
                    }
                    None => {
                        self.log.push(format!("state {} is nobody's", key.1));
                        self.held_by.remove(&key);
                    }
                },
                Change::StateReemitted { reference } => {
                    assert!(matches!(self.rows.get(&reference), Some(StoredRow::Delivered(..))));
                    self.log.push(format!("again {reference}"));
                }
                Change::MissingPrevStateAdded { link, .. } => drop(self.links.insert(link.missing.clone(), link)),
                Change::QuarantineRemoved { number, .. } => assert!(self.kept.remove(&number).is_some()),
                Change::OverflowHeadsChanged { added, gone, .. } => {
                    gone.iter().for_each(|reference| assert!(self.spilled.remove(reference).is_some()));
                    self.spilled.extend(added.into_iter().map(|head| (head.reference.clone(), head)));
                }
                Change::StageLeft { number, reference, .. } => {
                    let place = self.stage.iter().position(|(staged, _)| staged.number == number);
                    let (staged, _) = self.stage.remove(place.expect("it is staged"));
                    assert_eq!(staged.reference, reference);
                }
                Change::ContextWork { unfinished, .. } => self.unfinished = unfinished,
                Change::MissingPrevStateResolved { missing, .. } => drop(self.links.remove(&missing)),
                Change::ContextRecordUpdated(record) => {
                    assert_eq!(place, last, "the record comes last");
                    self.record = Some(*record);
                }
                Change::GapOpened { gap, .. } => drop(self.gaps.insert(gap.missing.clone(), gap)),
                Change::GapClosed { missing, .. } => assert!(self.gaps.remove(&missing).is_some() || place > 0),
                Change::FeedAppended(item) => self.feed(item),
                Change::Quarantined { parked, .. } => {
                    self.log.push(format!("park {:?} of {}", parked.what, parked.from));
                    assert!(!parked.reason.contains("  "));
                    let ParkedWhat::Pdu { origin: Some(origin), id: Some(id), .. } = parked.what else { continue };
                    let number = self.kept.last_key_value().map_or(1, |(last, _)| last + 1);
                    let pdu = self.arrived[&(parked.from.clone(), at(&format!("{origin}/{id}")))].clone();
                    self.kept.insert(number, (parked.from, pdu));
                }
                Change::Submitted(submission) => {
                    let SubmittedContent::Pdu(reference, _, bytes) = submission.what else { panic!("a PDU") };
                    assert!(self.rows.contains_key(&reference));
                    let text = std::str::from_utf8(&bytes).expect("text");
                    self.log.push(format!("send {text} to {:?}", submission.servers));
                }
                Change::SubmittedToGroups(given) => {
                    let GroupSubmission { submission, copies, formless } = *given;
                    let SubmittedContent::Pdu(reference, ..) = submission.what else { panic!("a PDU") };
                    assert!(self.rows.contains_key(&reference));
                    let copies = copies.iter().map(|copy| format!("{} to {}", text(&copy.update), copy.server));
                    let copies: Vec<String> = copies.collect();
                    let Submission { id, servers, left_out, .. } = submission;
                    self.log.push(format!(
                        "{id} to {servers:?}, not {left_out:?}, plain {copies:?}, formless {formless:?}"
                    ));
                }
                other => panic!("nothing here calls for {other:?}"),
            }
        }
    }

    fn deliver(&mut self, reference: &PduRef, delivery: Delivery) {
        let depths = self.prevs[reference].iter().filter_map(|parent| match self.rows.get(parent) {
            Some(StoredRow::Delivered(depth, _)) => Some(depth + 1),
            _ => None,
        });
        assert_eq!(delivery.depth, depths.max().unwrap_or(0), "the depth of {reference}");
        self.rows.insert(reference.clone(), StoredRow::Delivered(delivery.depth, delivery.is_history()));
        match delivery.is_history() {
            true => {
                assert!(delivery.position <= 0 && self.past_places.insert(delivery.position), "a place is given once");
            }
            false => {
                self.positions += 1;
                assert_eq!(delivery.position, self.positions, "positions have no holes");
            }
        }
        let Some(shown) = delivery.shown else {
            // What was composed here is logged as it is sent, and is never history.
            if delivery.is_history() || self.arrived.keys().any(|(_, arrived)| arrived == reference) {
                self.log.push(format!("take back {reference} at {}", delivery.position));
            }
            return;
        };
        assert_eq!(shown.history, delivery.position < 1, "history of {reference}");
        let gap = if shown.gap.is_empty() { String::new() } else { format!(" without {:?}", shown.gap) };
        let late = if shown.late { " late" } else { "" };
        let history = if shown.history { " as history" } else { "" };
        self.log.push(format!("deliver {reference} at {}{gap}{late}{history}", delivery.depth));
        assert!(!shown.again);
        let (reference, prev) = (reference.clone(), self.prevs[reference].clone());
        self.told.push(FeedEntry::Pdu(DeliveredRow { reference, prev, gap: shown.gap, late: shown.late }));
    }

    fn feed(&mut self, item: FeedItem) {
        match item {
            FeedItem::Gap { missing, children, .. } => {
                self.log.push(format!("gap {missing:?} before {children:?}"));
                self.told.push(FeedEntry::Gap(missing));
            }
            FeedItem::GapFilled { missing, children, .. } => {
                self.log.push(format!("filled {missing:?} before {children:?}"));
                self.told.extend(missing.into_iter().map(FeedEntry::Filled));
            }
            FeedItem::Delivery { message, server, state, reason } => {
                self.log.push(format!("{message} at {server}: {state}, {}", reason.unwrap_or_default()));
            }
            FeedItem::Notice { text, .. } => self.log.push(format!("notice {text}")),
            other => panic!("nothing here calls for {other:?}"),
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn edge(edge: bool) -> &'static str {
    if edge { ", edge" } else { "" }
}
