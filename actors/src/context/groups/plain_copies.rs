//! The recipients of a message for which its context is a group, and the updates that they get in place of the PDU.

use bytes::Bytes;

use crate::change::Change;
use crate::context::step::ContextStep;
use crate::model::{
    FeedItem, GroupId, GroupSubmission, NO_PLAIN_FORM, PduRef, PduText, PlainCopy, PlainForm, ServerName, Submission,
};

/// Recipients of one message, each with its group.
#[derive(Default)]
pub(crate) struct GroupRecipients(Vec<(ServerName, GroupId)>);

impl GroupRecipients {
    /// Takes those for which the context is a group out of the recipients. `groups`: all servers for which it is one.
    pub(crate) fn take(groups: &[(ServerName, GroupId)], audience: &mut Vec<ServerName>) -> Self {
        let is_meant = |(server, _): &&(ServerName, GroupId)| audience.contains(server);
        let taken: Vec<_> = groups.iter().filter(is_meant).cloned().collect();
        audience.retain(|server| taken.iter().all(|(other, _)| other != server));
        Self(taken)
    }

    /// Returns the names of the recipients.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.0.iter().map(|(server, _)| server)
    }

    /// Removes recipients for which nothing can be queued.
    pub(crate) fn retain(&mut self, is_reached: impl Fn(&ServerName) -> bool) {
        self.0.retain(|(server, _)| is_reached(server));
    }

    /// Returns the updates of a PDU, and the recipients for which it has no form.
    pub(crate) fn copies(&self, text: &dyn PduText, reference: &PduRef, pdu: &Bytes) -> PlainCopies {
        let (mut copies, mut formless) = (vec![], vec![]);
        for (server, group) in &self.0 {
            match text.plain(reference, pdu, server, *group) {
                PlainForm::Update(update) => copies.push(PlainCopy { server: server.clone(), update }),
                PlainForm::Missing => formless.push(server.clone()),
                PlainForm::Withheld => {}
            }
        }
        PlainCopies { copies, formless }
    }
}

/// The updates of one message.
pub(crate) struct PlainCopies {
    copies: Vec<PlainCopy>,
    /// Recipients for which the message has no form.
    formless: Vec<ServerName>,
}

impl PlainCopies {
    /// Returns whether there is nothing to send and nothing to report.
    pub(crate) const fn is_empty(&self) -> bool {
        self.copies.is_empty() && self.formless.is_empty()
    }

    /// Returns the servers that get an update.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &ServerName> {
        self.copies.iter().map(|copy| &copy.server)
    }

    /// Records a submission with its updates, and reports the recipients for which it has no form.
    pub(crate) fn submit(self, step: &mut ContextStep<'_>, submission: Submission) {
        if self.is_empty() {
            return step.changes.push(Change::Submitted(submission));
        }
        let Self { copies, formless } = self;
        for server in formless.iter().cloned() {
            let (message, state, reason) = (submission.id.clone(), "refused", Some(NO_PLAIN_FORM.to_owned()));
            step.changes.push(Change::FeedAppended(FeedItem::Delivery { message, server, state, reason }));
        }
        let submission = GroupSubmission { submission, copies, formless };
        step.changes.push(Change::SubmittedToGroups(Box::new(submission)));
    }
}
