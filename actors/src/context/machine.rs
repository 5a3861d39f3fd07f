//! A conversation's machine: PDUs in, in any order; deliveries out, no PDU before a PDU it names as a parent.
//!
//! The life of a PDU: unknown -> held (some parents are not delivered) -> ready -> delivered. A missing parent is waited for
//! briefly, then asked for; when everybody was asked for long enough it is given up, and its children are delivered with a
//! gap. Nothing is ever silently skipped or reordered.

use std::collections::HashMap;
use std::sync::Arc;

use crate::change::Change;
use crate::change::Urgency;
use crate::limits::ContextLimits;
use crate::model::{
    Composed, ContextId, ContextRecord, ContextStatus, Draft, Millis, Pdu, PduRef, Refusal, ServerName, Verdict, Want,
};
use crate::model::{ContextLoad, Known, PduText};

/// A request that waits for an answer; see the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// Everything that can wake a conversation.
#[derive(Debug, Clone)]
pub enum Event {
    /// The actor has loaded.
    Started,
    /// A peer's actor hands over PDUs of this conversation, in the order of the request.
    Arrive {
        /// Is owed the verdicts, as soon as the batch is handed over.
        token: Token,
        /// Who sent them.
        from: ServerName,
        /// How it was proved.
        verified: &'static str,
        /// The PDUs.
        pdus: Vec<Pdu>,
        /// What the archive knows of them and of their parents; those it knew nothing of are claimed.
        known: HashMap<PduRef, Known>,
    },
    /// Our messenger says something, in this order.
    Compose {
        /// Is owed the outcome, after the commit.
        token: Token,
        /// What it says.
        drafts: Vec<Draft>,
        /// Peers whose outbox is full: they get no row, and the messenger is told.
        full: Vec<ServerName>,
        /// Who holds the state keys these drafts set, where the archive knows.
        holders: HashMap<(Arc<str>, String), PduRef>,
    },
    /// Our messenger sets the participants.
    Participants {
        /// Is owed the outcome, after the commit.
        token: Token,
        /// Who takes part beside us.
        servers: Vec<ServerName>,
    },
    /// An answer to [`Effect::Fetch`].
    Fetched {
        /// What was asked for.
        want: Want,
        /// Who was asked.
        from: ServerName,
        /// What came: nothing, where it has none or could not be asked.
        pdus: Vec<Pdu>,
        /// Whether it answered at all: one that could not be reached has not said that it has none.
        answered: bool,
        /// What the archive knows, as for [`Event::Arrive`].
        known: HashMap<PduRef, Known>,
    },
    /// The timer went off.
    Due,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Event::Arrive`], one a PDU, in order.
    Verdicts(Vec<Verdict>),
    /// To [`Event::Compose`], one a draft, in order.
    Composed(Vec<Result<Composed, Refusal>>),
    /// To [`Event::Participants`].
    Set(Result<(), Refusal>),
}

/// One thing for the shell to do, in order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Hand this batch to the journal, now.
    Commit(Vec<Change>, Urgency),
    /// Answer at once: what it rests on is handed over, and the asker commits after us.
    HandedOver(Token, Reply),
    /// Answer once everything handed over so far is on disk.
    Answer(Token, Reply),
    /// Let these claims go: their PDUs were refused.
    Release(Vec<PduRef>),
    /// Ask a peer; the answer comes back as [`Event::Fetched`].
    Fetch(ServerName, Want),
    /// Wake the machine at this time, and at no other.
    Arm(Millis),
    /// Forget the timer.
    Disarm,
}

/// The machine of one conversation (being written).
pub struct Machine {
    record: ContextRecord,
}

impl Machine {
    /// The machine as the store left it; a conversation nobody has heard of is one that its first PDU will begin.
    pub fn new(
        context: ContextId,
        _us: ServerName,
        _limits: Arc<ContextLimits>,
        _text: Arc<dyn PduText>,
        load: Option<ContextLoad>,
    ) -> Self {
        Self { record: load.map_or_else(|| ContextRecord::new(context, vec![], true), |load| load.record) }
    }

    /// Which of these PDUs, and which of their parents, the machine cannot tell about from memory.
    pub fn unknown(&self, pdus: &[Pdu]) -> (Vec<PduRef>, Vec<PduRef>) {
        (pdus.iter().map(|pdu| pdu.reference.clone()).collect(), vec![])
    }

    /// One step.
    pub fn step(&mut self, _now: Millis, _event: Event) -> Vec<Effect> {
        vec![]
    }

    /// Nothing is held and nothing is asked for: it may leave memory.
    pub fn is_idle(&self) -> bool {
        true
    }

    /// The conversation as others see it.
    pub fn status(&self) -> ContextStatus {
        ContextStatus { record: self.record.clone(), held: 0, wanted: vec![], gaps: vec![] }
    }
}
