//! What wakes a conversation's machine, and what the machine asks its shell to do: both lists are closed.

use std::collections::HashMap;

use crate::change::{Change, Urgency};
use crate::context::admit::Kept;
use crate::context::staged::StagePage;
use crate::model::{Composed, Draft, Known, Millis, Pdu, PduRef, Refusal, ServerName, Verdict, Want};

/// A request that waits for an answer; see the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// An operator gives back a PDU that lies in quarantine, to be judged anew.
    Readmit {
        /// Is owed the verdict, as soon as the batch is handed over.
        token: Token,
        /// Who sent it, then.
        from: ServerName,
        /// The PDU.
        pdu: Pdu,
        /// As for [`Event::Arrive`].
        known: HashMap<PduRef, Known>,
    },
    /// Our messenger says something, in this order.
    Compose {
        /// Is owed the outcome, after the commit.
        token: Token,
        /// What it says.
        drafts: Vec<Draft>,
        /// Whom it can reach.
        reach: Reach,
    },
    /// Our messenger sets the participants.
    Participants {
        /// Is owed the outcome, after the commit.
        token: Token,
        /// Who takes part beside us.
        servers: Vec<ServerName>,
    },
    /// Our messenger wants the conversation from a server that takes part: its state, and so much of its past.
    Join {
        /// Is owed the outcome, after the commit.
        token: Token,
        /// From whom.
        via: ServerName,
        /// PDUs of the past.
        backfill: u32,
    },
    /// A history read needs older PDUs than we hold. It is answered by the next [`Effect::AnswerReads`].
    Older {
        /// How many PDUs the read lacks.
        limit: u32,
    },
    /// An answer to [`Effect::Fetch`].
    Fetched {
        /// What was asked for.
        want: Want,
        /// Who was asked.
        from: ServerName,
        /// What came: nothing, where it has none or could not be asked.
        pdus: Vec<Pdu>,
        /// Why it gave no answer: one that could not be reached has not said that it has none.
        failed: Option<String>,
        /// What the archive knows, as for [`Event::Arrive`].
        known: HashMap<PduRef, Known>,
    },
    /// [`Effect::Fetch`] was not sent, because too many questions to that peer are open. It is no try, and no answer.
    PutOff {
        /// What was to be asked for.
        want: Want,
        /// Who was to be asked.
        from: ServerName,
        /// Which limit.
        why: String,
    },
    /// What peers send is taken, or is not: while it is not, a parent that is missing may be waiting at our own door.
    Intake {
        /// It is taken.
        open: bool,
    },
    /// An answer to [`Effect::TakeBack`]: one of what was found, where it can be read.
    Kept {
        /// It.
        kept: Option<Kept>,
        /// What the archive knows, as for [`Event::Arrive`].
        known: HashMap<PduRef, Known>,
        /// It is the last of a full page: where the next one begins.
        next: Option<(u64, u64)>,
    },
    /// PDUs were staged: they came while this conversation was too busy.
    StageFilled,
    /// An answer to [`Effect::ReadStage`]: some of what is staged, or nothing where nothing is.
    Staged {
        /// It.
        page: StagePage,
        /// What the archive knows, as for [`Event::Arrive`].
        known: HashMap<PduRef, Known>,
    },
    /// All that [`Effect::TakeBack`] found has been given back.
    TakenBack,
    /// The timer went off.
    Due,
}

/// Servers that a message cannot reach as it should.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Participants that get no row, each with the reason that the messenger is told.
    pub shut: Vec<(ServerName, &'static str)>,
    /// Servers that a message is narrowed to, and that would pass it on to others.
    pub deaf: Vec<ServerName>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To [`Event::Arrive`], one a PDU, in order.
    Verdicts(Vec<Verdict>),
    /// To [`Event::Compose`], one a draft, in order.
    Composed(Vec<Result<Composed, Refusal>>),
    /// To [`Event::Participants`] and [`Event::Join`].
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
    /// Answer all history reads that wait, once everything handed over so far is on disk: so many PDUs came.
    AnswerReads(u64),
    /// Let these claims go: their PDUs were refused.
    Release(Vec<PduRef>),
    /// Ask a peer; the answer comes back as [`Event::Fetched`].
    Fetch {
        /// Who is asked.
        of: ServerName,
        /// For what.
        want: Want,
        /// Who handed us what names it, and pays for the search.
        cause: ServerName,
    },
    /// Find what lies in quarantine of servers that take part now; it comes back as [`Event::Kept`], one by one: of several it
    /// would not be known which kills.
    TakeBack {
        /// Who takes part.
        participants: Vec<ServerName>,
        /// After this place in the order of arrival.
        after: (u64, u64),
        /// How many at once.
        limit: u32,
    },
    /// Read a page of the stage once everything handed over so far is on disk; it comes back as [`Event::Staged`].
    ReadStage {
        /// Begin with the servers behind this one in the order of names.
        after: Option<ServerName>,
    },
    /// Wake the machine at this time, and at no other.
    Arm(Millis),
    /// Forget the timer.
    Disarm,
}
