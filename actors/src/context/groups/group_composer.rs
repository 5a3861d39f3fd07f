//! Messages of a peer's group become messages that we compose in the context.
//!
//! The number of an update and the PDU composed for it are two batches of the journal. The id of the PDU follows from the
//! update, so that an update that comes again, because a crash lost its number only, is recognized here and composes nothing.

use crate::context::compose::{DraftComposer, DraftSource};
use crate::context::event::RecipientReach;
use crate::context::ordering::context_graph::ContextGraph;
use crate::context::step::ContextStep;
use crate::model::{BridgedMessage, ParkedCode, PduDraft, PduRef, PduText, PduVerdict, ServerName};

/// The composition of messages that one peer's groups brought.
pub(crate) struct GroupComposer<'a> {
    pub(crate) graph: &'a mut ContextGraph,
    /// Writer of the PDUs.
    pub(crate) text: &'a dyn PduText,
    /// Peer that sent the messages, and the method by which it was authenticated.
    pub(crate) from: &'a ServerName,
    pub(crate) verified: &'static str,
}

impl GroupComposer<'_> {
    /// Composes the messages in their order.
    pub(crate) async fn take(&mut self, step: &mut ContextStep<'_>, messages: Vec<BridgedMessage>) -> Vec<PduVerdict> {
        let mut verdicts = Vec::with_capacity(messages.len());
        for message in messages {
            verdicts.push(self.take_one(step, message).await);
        }
        verdicts
    }

    async fn take_one(&mut self, step: &mut ContextStep<'_>, message: BridgedMessage) -> PduVerdict {
        let reference = PduRef { origin: self.graph.participants.us().clone(), id: message.id.clone() };
        if self.graph.has_in_memory(&reference) || step.reads.known(&reference).await.is_some() {
            return PduVerdict::Duplicate;
        }
        if !self.graph.participants.contains(self.from) {
            return PduVerdict::Parked { code: ParkedCode::NotAParticipant.as_str() };
        }
        let bridged = self.text.bridged(self.from, &message);
        let draft = PduDraft {
            receipt: false,
            submission: self.text.copies_id(&reference),
            digest: message.digest,
            accepted: step.now,
            id: message.id,
            kind: self.graph.limits.group_type.as_str().into(),
            content: message.content,
            state: None,
            to: None,
            extra: vec![("bridged".to_owned(), bridged)],
        };
        let servers = self.graph.participants.servers().iter();
        let shut = servers.filter_map(|server| Some((server.clone(), step.reads.shut(server, draft.content.len())?)));
        let reach = RecipientReach { shut: shut.collect(), deaf: vec![] };
        let source = DraftSource::Group { from: self.from, verified: self.verified };
        let mut composer = DraftComposer { graph: self.graph, text: self.text, reach: &reach, source };
        let composed = composer.compose(step, vec![draft]).await.pop().expect("one a draft");
        debug_assert!(composed.is_ok(), "a message to all that is no state is never refused");
        PduVerdict::Accepted
    }
}
