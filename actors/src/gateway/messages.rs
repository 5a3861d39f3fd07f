//! What may be done with a message on its way, and what a peer was sent.

use crate::gateway::Gateway;
use crate::model::{Index, Order, Refusal, SentPage, ServerName, SubmissionId};
use crate::ports::ArchiveError;

impl Gateway {
    /// Take what is left of a submission out of the queue of one server, or of all it goes to; what it was lies among the dead
    /// letters from then on. Answers once that is on disk.
    pub async fn drop_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<(), Refusal> {
        for (server, first, last) in self.legs(message, only).await? {
            self.order(&server, Order::Drop { message: message.clone(), first, last }).await?;
        }
        Ok(())
    }

    /// Queue again what became dead letters of a submission, for one server or for all. Answers once that is on disk, with how
    /// many items that was.
    pub async fn retry_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<u64, Refusal> {
        let mut count = 0;
        for (server, first, last) in self.legs(message, only).await? {
            for letter in self.read(self.ports.archive.letters(&server, first, last).await)? {
                self.requeue(&server, letter.index).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// What a peer was sent in transactions after this one, for the peer that missed it: whole transactions, at most `items`
    /// PDUs of `bytes` in all, and one transaction at least.
    pub async fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        items: u32,
        bytes: u64,
    ) -> Result<SentPage, Refusal> {
        let open = self.peer(server).await?.open;
        // What the actor has let go of may not be on disk yet.
        self.ports.journal.barrier().committed().await.map_err(|_| Refusal::OutcomeUnknown)?;
        self.read(self.ports.archive.sent_after(server, after, open, items, bytes).await)
    }

    /// Where the items of a submission stand, each run of them: as they were queued, and those that were queued again.
    async fn legs(
        &self,
        message: &SubmissionId,
        only: Option<&ServerName>,
    ) -> Result<Vec<(ServerName, Index, Index)>, Refusal> {
        let unknown = || Refusal::UnknownSubmission(message.clone());
        let record = self.read(self.ports.archive.submission(message).await)?.ok_or_else(unknown)?;
        let servers =
            record.queued.iter().map(|(server, _)| server).filter(|server| only.is_none_or(|only| only == *server));
        let legs = |server| record.runs(server).map(move |(first, last)| (ServerName::clone(server), first, last));
        let legs: Vec<_> = servers.flat_map(legs).collect();
        if legs.is_empty() { Err(unknown()) } else { Ok(legs) }
    }

    pub(super) fn read<T>(&self, read: Result<T, ArchiveError>) -> Result<T, Refusal> {
        read.map_err(|error| {
            tracing::error!(%error, "the store cannot be read");
            Refusal::OutcomeUnknown
        })
    }
}
