//! The observer of deliveries: it counts what passes by, and writes it to the log of deliveries if that is on.

use std::sync::Arc;
use std::time::Duration;

use actors::change::Change;
use actors::model::{
    Ack, BatchId, DeadLetterReason, DeliveryState, FeedItem, Item, ItemTrace, Millis, OutboundBatch, ParkedItem,
    ParkedWhat, PduState, PeerRecord, PushFailure, PushResponse, ServerName, StoredPdu, Submission, SubmittedContent,
};
use actors::ports::Clock;

use crate::telemetry::deliveries::delivery_log::{DeliveryLog, NamedItem};
use crate::telemetry::deliveries::delivery_metrics::DeliveryMetrics;
use crate::telemetry::deliveries::record::DeliveryRecord;

/// The observer of deliveries. Clones share the counts.
#[derive(Clone)]
pub struct DeliveryObserver {
    clock: Arc<dyn Clock>,
    metrics: Arc<DeliveryMetrics>,
    log: Option<DeliveryLog>,
}

/// A batch that is being sent.
pub(super) struct SentBatch {
    to: ServerName,
    label: BatchId,
    queued: Vec<Millis>,
    /// Names of the items; empty if the log is off.
    items: Vec<NamedItem>,
}

/// Code of a dead letter, as in the list of the quarantine.
const fn dead_letter_code(fate: DeadLetterReason) -> &'static str {
    match fate {
        DeadLetterReason::Parked | DeadLetterReason::Refused => "REFUSED_BY_PEER",
        DeadLetterReason::ParkedByPeer => "PARKED_BY_PEER",
        DeadLetterReason::Rejected => "REJECTED_BY_MESSENGER",
        DeadLetterReason::Expired => "EXPIRED",
        DeadLetterReason::Dropped => "TAKEN_OUT",
    }
}

/// Word of the metrics for a dead letter.
const fn dead_letter_word(fate: DeadLetterReason) -> &'static str {
    match fate {
        DeadLetterReason::Parked | DeadLetterReason::Refused => "refused",
        DeadLetterReason::ParkedByPeer => "parked",
        DeadLetterReason::Rejected => "rejected",
        DeadLetterReason::Expired => "expired",
        DeadLetterReason::Dropped => "dropped",
    }
}

/// Returns the word of the metrics for the result of a request, and the code of the log; `None`: the batch is acknowledged.
fn failure(label: BatchId, outcome: &Result<PushResponse, PushFailure>) -> Option<(&'static str, String)> {
    match (outcome, label) {
        (Ok(PushResponse { ack: Ack::Ok(seq), .. }), BatchId::SeqRange { last, .. }) if *seq == last => None,
        (Ok(PushResponse { ack: Ack::Taken | Ack::AcceptedUnparsedBody, .. }), BatchId::Transaction { .. }) => None,
        (Ok(PushResponse { ack: Ack::Hole { .. }, .. }), _) => Some(("hole", "HOLE".to_owned())),
        (Ok(PushResponse { ack: Ack::Wait(_), .. }), _) => Some(("wait", "WAIT".to_owned())),
        (Ok(_), _) => Some(("unreadable", "UNREADABLE".to_owned())),
        (Err(failure), _) => {
            let (word, code) = match failure {
                PushFailure::Unreachable(_) => ("unreachable", "UNREACHABLE"),
                PushFailure::Broken(_) => ("unreachable", "BROKEN"),
                PushFailure::TimedOut => ("timeout", "TIMEOUT"),
                PushFailure::Troubled { status: 429, .. } => ("wait", "WAIT"),
                PushFailure::Troubled { .. } | PushFailure::Redirected { .. } => ("troubled", "TROUBLED"),
                PushFailure::Refused { status: 401 | 403, .. } => ("identity", "REFUSED"),
                PushFailure::Refused { .. } => ("refused", "REFUSED"),
                PushFailure::AnswerTooLarge { .. } | PushFailure::Unreadable(_) => ("unreadable", "UNREADABLE"),
            };
            // The code of the trace says more, if there is one.
            Some((word, failure.code().map_or_else(|| code.to_owned(), |code| code.to_string())))
        }
    }
}

impl DeliveryObserver {
    /// Returns an observer; `log`: the log of deliveries, if it is on.
    pub fn new(clock: Arc<dyn Clock>, log: Option<DeliveryLog>) -> Self {
        Self { clock, metrics: Arc::default(), log }
    }

    /// Returns the counts.
    pub fn metrics(&self) -> &DeliveryMetrics {
        &self.metrics
    }

    /// Returns the log of deliveries, if it is on.
    pub const fn log(&self) -> Option<&DeliveryLog> {
        self.log.as_ref()
    }

    /// Notes that a batch is sent; `None`: it has no items, so there is nothing to tell.
    pub(super) fn begin(&self, batch: &mut OutboundBatch) -> Option<SentBatch> {
        if batch.items.is_empty() {
            return None;
        }
        let traces: Vec<ItemTrace> = std::mem::take(&mut batch.traces);
        let mut items = Vec::new();
        if let Some(log) = &self.log {
            items = NamedItem::of_batch(&batch.items, &traces);
            log.begin_attempt(&batch.to, self.clock.now(), &items);
        }
        // An item for another server is acknowledged by that server, and counted when it is.
        let is_own = |(item, trace): (&Item, &ItemTrace)| item.route().is_none().then_some(trace.queued);
        let queued = batch.items.iter().zip(&traces).filter_map(is_own).collect();
        Some(SentBatch { to: batch.to.clone(), label: batch.label, queued, items })
    }

    /// Notes the outcome of a batch that took this time.
    pub(super) fn end(&self, batch: SentBatch, latency: Duration, outcome: &Result<PushResponse, PushFailure>) {
        let SentBatch { to, label, queued, items } = batch;
        let now = self.clock.now();
        self.metrics.request.note(latency, 1);
        match failure(label, outcome) {
            Some((word, code)) => {
                self.metrics.attempts.add(word, 1);
                if let Some(log) = &self.log {
                    log.attempt_failed(&to, (now, latency), items, code);
                }
            }
            None => {
                let refused = outcome.as_ref().map_or(&[][..], |response| response.refused.as_slice());
                self.metrics.attempts.add("acknowledged", 1);
                let delivered = queued.len().saturating_sub(refused.len());
                self.metrics.outbound.add("delivered", delivered as u64);
                for queued in &queued {
                    self.metrics.acknowledgement.note(queued.until(now), 1);
                }
                if let Some(log) = &self.log {
                    let places: Vec<usize> = refused.iter().map(|objection| objection.place).collect();
                    log.attempt_succeeded(&to, (now, latency), &items, &places);
                }
            }
        }
    }

    /// Notes the changes of one batch of the journal.
    pub(super) fn note_changes(&self, changes: &[Change]) {
        let mut fate = None;
        for change in changes {
            match change {
                Change::Submitted(submission) => self.submitted(submission, &[]),
                Change::SubmittedToGroups(given) => {
                    let copies: Vec<&ServerName> = given.copies.iter().map(|copy| &copy.server).collect();
                    self.submitted(&given.submission, &copies);
                }
                Change::OutboxDeadLettered { first, last, fate: reason, .. } => {
                    fate = Some(*reason);
                    self.metrics.outbound.add(dead_letter_word(*reason), last.since(*first) + 1);
                }
                Change::OutboxMoved { first, last, to, submission, .. } => {
                    fate = Some(DeadLetterReason::Dropped);
                    let items = last.since(*first) + 1;
                    self.metrics.outbound.add(dead_letter_word(DeadLetterReason::Dropped), items);
                    self.metrics.outbound.add("queued", items);
                    self.tell(|now| DeliveryRecord::new("queued", now).message(submission).peer(to));
                }
                Change::ItemRejected { server, index, .. } => {
                    self.metrics.outbound.add("rejected", 1);
                    self.tell(|now| DeliveryRecord {
                        index: Some(index.0),
                        ..DeliveryRecord::new("refused", now)
                            .peer(server)
                            .code(dead_letter_code(DeadLetterReason::Rejected))
                    });
                }
                Change::DeadLetterRequeued { server, index } => {
                    self.metrics.outbound.add("queued", 1);
                    self.tell(|now| DeliveryRecord {
                        index: Some(index.0),
                        ..DeliveryRecord::new("queued", now).peer(server)
                    });
                }
                Change::SkippedRecipientQueued { server, submission } => {
                    self.metrics.outbound.add("queued", 1);
                    self.tell(|now| DeliveryRecord::new("queued", now).message(submission).peer(server));
                }
                Change::SkippedCopyQueued { submission, copy } => {
                    self.metrics.outbound.add("queued", 1);
                    self.tell(|now| DeliveryRecord::new("queued", now).message(submission).peer(&copy.server));
                }
                Change::PduStored(stored) => self.stored(stored),
                Change::Quarantined { parked, .. } => self.parked(parked),
                Change::FeedAppended(item) => self.appended(item, fate),
                Change::PeerRecordUpdated(record) => self.record_updated(record),
                _ => {}
            }
        }
    }

    fn tell<'a>(&self, record: impl FnOnce(Millis) -> DeliveryRecord<'a>) {
        if let Some(log) = &self.log {
            log.write(&record(self.clock.now()));
        }
    }

    fn submitted(&self, submission: &Submission, copies: &[&ServerName]) {
        let (items, pdu, context) = match &submission.what {
            SubmittedContent::Updates(updates) => (updates.len() as u64, None, None),
            SubmittedContent::Pdu(reference, context, _) => (1, Some(reference), Some(context)),
        };
        self.metrics.outbound.add("accepted", items);
        self.metrics.outbound.add("queued", items * submission.servers.len() as u64 + copies.len() as u64);
        let record = |kind, now| DeliveryRecord::new(kind, now).message(&submission.id).pdu(pdu).context(context);
        self.tell(|now| record("accepted", now));
        for peer in submission.servers.iter().chain(copies.iter().copied()) {
            self.tell(|now| record("queued", now).peer(peer));
        }
    }

    fn stored(&self, stored: &StoredPdu) {
        let Some(sender) = &stored.sender else { return };
        let is_held = matches!(stored.standing, PduState::Held(_));
        self.metrics.inbound.add(if is_held { "held" } else { "accepted" }, 1);
        self.tell(|now| DeliveryRecord {
            state: is_held.then_some("held"),
            ..DeliveryRecord::new("inbound", now)
                .pdu(Some(&stored.pdu.reference))
                .peer(sender)
                .context(Some(&stored.pdu.context))
        });
    }

    fn parked(&self, parked: &ParkedItem) {
        self.metrics.inbound.add("parked", 1);
        self.tell(|now| {
            let (pdu, context, seq) = match &parked.what {
                ParkedWhat::Update(seq) | ParkedWhat::Forward(seq, _) => (None, None, Some((seq.0, seq.0))),
                ParkedWhat::Pdu { origin, id, context } => {
                    let name = |text: &Option<String>| text.clone().unwrap_or_default();
                    (Some(format!("{}/{}", name(origin), name(id))), context.as_ref(), None)
                }
            };
            let record = DeliveryRecord::new("parked", now).peer(&parked.from).context(context);
            DeliveryRecord { pdu, seq, direction: Some("in"), ..record.code(parked.code.as_str()) }
        });
    }

    fn appended(&self, item: &FeedItem, fate: Option<DeadLetterReason>) {
        match item {
            FeedItem::Update { from, n, .. } => {
                self.metrics.inbound.add("accepted", 1);
                self.tell(|now| DeliveryRecord {
                    event: Some(format!("{from}#{n}")),
                    ..DeliveryRecord::new("inbound", now).peer(from)
                });
            }
            FeedItem::Gap { context, missing, .. } => {
                self.metrics.gaps.add("opened", missing.len() as u64);
                for pdu in missing {
                    self.tell(|now| DeliveryRecord::new("gap", now).pdu(Some(pdu)).context(Some(context)));
                }
            }
            FeedItem::GapFilled { context, missing, .. } => {
                self.metrics.gaps.add("filled", missing.len() as u64);
                for pdu in missing {
                    self.tell(|now| DeliveryRecord::new("gap_filled", now).pdu(Some(pdu)).context(Some(context)));
                }
            }
            FeedItem::UpdateGap { server, first, last, .. } => {
                self.metrics.gaps.add("opened", 1);
                self.tell(|now| DeliveryRecord {
                    seq: Some((first.0, last.0)),
                    ..DeliveryRecord::new("gap", now).peer(server)
                });
            }
            FeedItem::Delivery { message, server, state, reason } => {
                if let (Some(log), Some(kind)) = (&self.log, fate_word(state)) {
                    log.attempt_deferred(server, None);
                    let record = DeliveryRecord::new(kind, self.clock.now()).message(message).peer(server);
                    // The words of a peer may repeat the text of an item; a reason of ours is one word.
                    let word = reason.as_deref().filter(|reason| is_one_word(reason));
                    let code = fate.map(dead_letter_code).or(word);
                    log.write(&DeliveryRecord { code: code.map(Into::into), ..record });
                }
            }
            FeedItem::Parked(_) | FeedItem::Pdu(_) | FeedItem::Peer { .. } | FeedItem::Notice { .. } => {}
        }
    }

    fn record_updated(&self, record: &PeerRecord) {
        let Some(log) = &self.log else { return };
        let next = match record.outbound.rest {
            // The actor has not decided yet, or sends at once.
            DeliveryState::Ready => return,
            DeliveryState::Waiting { until } | DeliveryState::BackingOff { until } => Some(until),
            DeliveryState::Suspended { probe_at, .. } => probe_at,
        };
        log.attempt_deferred(&record.server, next);
    }
}

fn is_one_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// Returns the type of the record about a delivery in this state; `None`: another record tells of it.
fn fate_word(state: &str) -> Option<&'static str> {
    ["refused", "parked", "expired"].into_iter().find(|word| *word == state)
}
