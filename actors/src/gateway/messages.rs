//! What may be done with a message on its way, and what a peer was sent.

use crate::gateway::Gateway;
use crate::model::{Index, Order, Refusal, SentPage, ServerName, SubmissionId, SubmissionRecord};
use crate::ports::ArchiveError;

impl Gateway {
    /// Take what is left of a submission out of the queue of one server, or of all it goes to; what it was lies among the dead
    /// letters from then on. Answers once that is on disk.
    pub async fn drop_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<(), Refusal> {
        let legs = legs(&self.submission(message).await?, only);
        if legs.is_empty() {
            return Err(Refusal::UnknownSubmission(message.clone()));
        }
        for (server, first, last) in legs {
            self.order(&server, Order::Drop { message: message.clone(), first, last }).await?;
        }
        Ok(())
    }

    /// Queue again what became dead letters of a submission, and queue it where there was no room, for one server or for all.
    /// Answers once that is on disk, with how many items that was.
    pub async fn retry_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<u64, Refusal> {
        let record = self.submission(message).await?;
        let is_meant = |server: &&ServerName| only.is_none_or(|only| only == *server);
        let left_out: Vec<_> = record.left_out.iter().filter(is_meant).collect();
        let legs = legs(&record, only);
        if legs.is_empty() && left_out.is_empty() {
            return Err(Refusal::UnknownSubmission(message.clone()));
        }
        let mut count = 0;
        for (server, first, last) in legs {
            for letter in self.read(self.ports.archive.letters(&server, first, last).await)? {
                self.requeue(&server, letter.index).await?;
                count += 1;
            }
        }
        // What is forgotten cannot be sent.
        let kept = match record.pdu.as_ref().filter(|_| !left_out.is_empty()) {
            Some(pdu) => self.read(self.ports.archive.pdu(pdu))?,
            None => None,
        };
        if let Some(pdu) = kept {
            for server in left_out {
                self.queue_left_out(server, message, pdu.bytes.len()).await?;
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

    async fn submission(&self, message: &SubmissionId) -> Result<SubmissionRecord, Refusal> {
        let record = self.read(self.ports.archive.submission(message).await)?;
        record.ok_or_else(|| Refusal::UnknownSubmission(message.clone()))
    }

    pub(super) fn read<T>(&self, read: Result<T, ArchiveError>) -> Result<T, Refusal> {
        read.map_err(|error| {
            tracing::error!(%error, "the store cannot be read");
            Refusal::OutcomeUnknown
        })
    }
}

/// Where the items of a submission stand, each run of them: as they were queued, and those that were queued again.
fn legs(record: &SubmissionRecord, only: Option<&ServerName>) -> Vec<(ServerName, Index, Index)> {
    let servers =
        record.queued.iter().map(|(server, _)| server).filter(|server| only.is_none_or(|only| only == *server));
    let legs = |server| record.runs(server).map(move |(first, last)| (ServerName::clone(server), first, last));
    servers.flat_map(legs).collect()
}
