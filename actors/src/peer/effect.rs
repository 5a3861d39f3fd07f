//! What a peer's machine asks of its shell, and the collector it writes that into.

use crate::change::Change;
use crate::change::Urgency;
use crate::model::{ContextId, FeedItem, Index, Millis, OutFrame, Pdu, Refusal, ServerName, Taken, Want};
use crate::peer::dispatch::Group;
use crate::peer::notices::HourlyNotice;

/// A request that waits for an answer. The shell keeps what the token stands for; a restart forgets it, and the caller
/// learns that the outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A question for transactions that we missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pull {
    /// The newest of its transactions before them that we hold.
    pub after: u64,
    /// Pages asked for so far, this one included.
    pub page: u32,
    /// It is asked because our store was restored, and not for something that it named.
    pub catch_up: bool,
}

/// One thing for the shell to do, in order.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Hand this batch to the journal, now.
    Commit(Vec<Change>, Urgency),
    /// Answer once everything handed over so far is on disk.
    Answer(Token, Result<Taken, Refusal>),
    /// An operator's order is done: answer with the peer as it stands then, once everything handed over so far is on disk.
    Report(Token),
    /// An operator's order cannot be done.
    Decline(Token, Refusal),
    /// Begin a new life from the store, with the book of crashes closed; the order is answered when it has begun.
    Restart(Token),
    /// Give PDUs to their conversation; the outcome comes back as [`Event::Dispatched`](super::machine::Event).
    Dispatch {
        /// Which PDUs of the batch, and whose they are.
        group: Group,
        /// How the sender was proved.
        verified: &'static str,
        /// The PDUs.
        pdus: Vec<Pdu>,
        /// Earlier ones of this peer were staged: where they still are, these go behind them.
        behind: bool,
    },
    /// PDUs are staged by the batch of this step: tell their conversation once it is on disk.
    TellStaged(ContextId),
    /// Ask the peer for PDUs on behalf of a conversation, which gets the answer.
    Get {
        /// Who wants to know.
        context: ContextId,
        /// What.
        want: Want,
        /// Whose budget it is charged to.
        cause: ServerName,
    },
    /// Ask the peer for the transactions after this one; the answer comes back as [`Event::Pulled`](super::machine::Event).
    Pull(Pull),
    /// Have another peer asked, at this one's cost.
    Ask {
        /// Who is asked.
        of: ServerName,
        /// Who wants to know.
        context: ContextId,
        /// What.
        want: Want,
    },
    /// Nobody is asked now: tell the conversation so.
    NotAsked {
        /// Who was to be asked.
        of: ServerName,
        /// Who wants to know.
        context: ContextId,
        /// What.
        want: Want,
    },
    /// Send a frame. `settled`: not before everything handed over so far is on disk, for its numbers are new.
    Push {
        /// Names the attempt; an outcome of any other counts for nothing.
        attempt: u64,
        /// What goes.
        frame: OutFrame,
        /// Whether the numbers in it rest on a commit of this step.
        settled: bool,
    },
    /// Give up what is in flight: the request, and the read.
    Abort,
    /// Read outbox rows from here on.
    Load(Index),
    /// Wake the machine at this time, and at no other.
    Arm(Millis),
    /// Forget the timer.
    Disarm,
    /// Wake the machine at this time as well, to ask the peer for transactions once more; `None`: not at all.
    AskAt(Option<Millis>),
}

/// Collects what one step asks for. The batch always comes first: nothing else may precede what it rests on.
#[derive(Debug, Default)]
pub struct Out {
    pub(super) changes: Vec<Change>,
    pub(super) moved: Option<Urgency>,
    /// Changes that nobody waits for: alone they ride.
    pub(super) notes: Vec<Change>,
    pub(super) effects: Vec<Effect>,
    /// When the step happens.
    pub(super) now: Millis,
    /// Which notices about the peer's numbering are raised. The machine lends it to each step.
    pub(super) numbering: HourlyNotice,
}

impl Out {
    /// A change of this step.
    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// A change that nobody waits for, and that makes none of the others wait.
    pub fn note(&mut self, change: Change) {
        self.notes.push(change);
    }

    /// A notice about the peer's numbering; of several within an hour only the first is raised, and the next says how many there
    /// were.
    pub fn numbering_notice(&mut self, server: &ServerName, text: String) {
        let text = match self.numbering.admit(self.now) {
            None => return,
            Some(0) => text,
            Some(left_out) => format!("{text} (and {left_out} more notices about its numbering since the last one)"),
        };
        self.change(Change::Fed(FeedItem::Notice { text, server: Some(server.clone()) }));
    }

    /// The peer's record differs from the one on disk.
    pub fn moved(&mut self, urgency: Urgency) {
        self.moved = match (self.moved, urgency) {
            (Some(Urgency::Now), _) | (_, Urgency::Now) => Some(Urgency::Now),
            _ => Some(Urgency::Rides),
        };
    }

    /// Anything else.
    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
