//! A gateway whose actors panic at certain messages, until a run calms it down: a bug that one text brings out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actors::model::{
    BridgedMessage, GraphPosition, GroupId, Item, Membership, MembershipSource, Pdu, PduDraft, PduRef, PlainForm, Seq,
    ServerName, SubmissionId,
};
use actors::ports::{PduText, Ports};
use bytes::Bytes;

use crate::history::Name;
use crate::history::disturbance::Done;
use crate::world::World;
use crate::world::content::poison_of;

/// The text of the panic.
pub(crate) const PLAYED_POISON: &str = "a poison, as the run asked";

/// A switch that makes a gateway panic at its poison. Clones share it.
#[derive(Clone)]
pub(crate) struct Touchy {
    poison: Arc<str>,
    is_on: Arc<AtomicBool>,
}

/// One that does, or never will.
pub(crate) fn touchy(name: Name, is_on: bool) -> Touchy {
    Touchy { poison: poison_of(name).into(), is_on: Arc::new(AtomicBool::new(is_on)) }
}

impl Touchy {
    /// The bug is mended.
    pub(crate) fn calm_down(&self) {
        self.is_on.store(false, Ordering::SeqCst);
    }

    /// Put the bug into a gateway that is about to begin.
    pub(crate) fn wrap(&self, ports: &mut Ports) {
        ports.text = Arc::new(TouchyText { text: ports.text.clone(), touchy: self.clone() });
    }
}

struct TouchyText {
    text: Arc<dyn PduText>,
    touchy: Touchy,
}

impl PduText for TouchyText {
    fn compose(&self, us: &ServerName, draft: &PduDraft, berth: &GraphPosition) -> Bytes {
        self.text.compose(us, draft, berth)
    }

    fn membership(&self, key: &str, text: MembershipSource<'_>) -> Option<Membership> {
        // What its own messenger says is not what this is about.
        if let MembershipSource::Pdu(bytes) = &text
            && self.touchy.is_on.load(Ordering::SeqCst)
        {
            let text = String::from_utf8_lossy(bytes);
            assert!(!text.contains(&*self.touchy.poison), "{PLAYED_POISON}");
        }
        self.text.membership(key, text)
    }

    fn plain(&self, reference: &PduRef, pdu: &Bytes, to: &ServerName, group: GroupId) -> PlainForm {
        self.text.plain(reference, pdu, to, group)
    }

    fn bridged(&self, from: &ServerName, message: &BridgedMessage) -> Bytes {
        self.text.bridged(from, message)
    }

    fn copies_id(&self, reference: &PduRef) -> SubmissionId {
        self.text.copies_id(reference)
    }

    fn forward(&self, us: &ServerName, to: &ServerName, number: Seq, item: &Item) -> Option<(Box<str>, Bytes)> {
        self.text.forward(us, to, number, item)
    }

    fn read(&self, from: &ServerName, bytes: &Bytes) -> Option<Pdu> {
        self.text.read(from, bytes)
    }
}

impl World {
    /// Write down who is poisoned.
    pub(crate) fn begin_poison(&self) {
        if let Some(victim) = self.plan.poisons {
            self.disturb(Done::Poisoned(victim));
        }
    }
}
