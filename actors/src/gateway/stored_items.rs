//! Operations on stored items: messages in the outboxes, dead letters, quarantined items, PDUs that are missing, and the
//! transactions that were sent to a peer. Each that changes something answers after the commit.

use bytes::Bytes;

use crate::change::Change;
use crate::errors::{BatchError, CommandError, ContextError, PeerError, UnavailableError};
use crate::gateway::Gateway;
use crate::limits::Numbering;
use crate::model::{
    Ack, ContextId, ForwardedUpdate, GroupMessage, Index, MessagePlace, Pdu, PduRef, PduVerdict, PeerCommand,
    PeerStatus, PlainCopy, PlainForm, RelayCode, RemovalFate, RepairOutcome, SentPage, Seq, ServerName, SubmissionId,
    SubmissionRecord,
};
use crate::peer::inbound::dispatch::DispatchError;
use crate::peer::inbound::forwards;
use crate::peer::inbound::forwards::forward_run::forwarded_push;
use crate::peer::inbound::forwards::judge_forward::{ForwardStep, judge};
use crate::peer::machine::PeerMachine;
use crate::ports::{ArchiveError, CommitPriority, Direction, QuarantineKey};
use crate::router::registry::LookupPurpose;

impl Gateway {
    /// Returns the status of a peer from the store, without starting its actor. A server that is not listed counts as a
    /// peer while items are pending for it.
    pub async fn stored_status(&self, server: &ServerName) -> Result<PeerStatus, PeerError> {
        let limits = self.ports.roster.limits_of(server);
        self.ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
        let load = self.read(self.ports.archive.peers.peer(server).await)?;
        let status = PeerMachine::new(self.ports.us.clone(), server.clone(), &limits, load).status();
        match limits.listing.refusal(server).filter(|_| status.backlog == 0) {
            Some(refusal) => Err(refusal),
            None => Ok(status),
        }
    }

    /// Removes the unacknowledged items of a submission from the outbox of one server, or of all; they become dead
    /// letters. It answers after the commit.
    pub async fn drop_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<(), CommandError> {
        let legs = recipients(&self.submission(message).await?, only);
        if legs.is_empty() {
            return Err(CommandError::UnknownSubmission(message.clone()));
        }
        for (server, first, last) in legs {
            let fate = RemovalFate::TAKEN_OUT;
            self.order(&server, PeerCommand::Drop { message: message.clone(), first, last, fate }).await?;
        }
        Ok(())
    }

    /// Moves the items of a submission, which are of this size, from the outbox of one peer to the end of that of another. It answers
    /// after the commit; the items stay if they are no longer all unacknowledged.
    pub async fn move_items(
        &self,
        from: &ServerName,
        to: &ServerName,
        message: &SubmissionId,
        (first, last): (Index, Index),
        bytes: usize,
    ) -> Result<(), CommandError> {
        self.check_overload()?;
        let items = usize::try_from(last.since(first)).unwrap_or(usize::MAX).saturating_add(1);
        self.routes.peer(to, LookupPurpose::Deliver).await?.has_room(items, bytes)?;
        let fate = RemovalFate::MoveTo(to.clone());
        self.order(from, PeerCommand::Drop { message: message.clone(), first, last, fate }).await.map(|_| ())
    }

    /// Fetches PDUs that a comparison of histories found missing here, first from the server that has them. It answers when none of
    /// them is being fetched any more. They are admitted, delivered and reported as missing parents are.
    pub async fn repair(
        &self,
        context: &ContextId,
        via: &ServerName,
        missing: Vec<PduRef>,
    ) -> Result<RepairOutcome, ContextError> {
        self.record(context).await?;
        self.routes.context(context).await?.repair(via.clone(), missing).await
    }

    /// Requeues the dead letters of a submission, and queues it for skipped recipients, for one server or for all. It
    /// answers after the commit, with the number of items.
    pub async fn retry_message(&self, message: &SubmissionId, only: Option<&ServerName>) -> Result<u64, CommandError> {
        let record = self.submission(message).await?;
        let is_meant = |server: &&ServerName| only.is_none_or(|only| only == *server);
        let left_out: Vec<_> = record.left_out.iter().filter(is_meant).collect();
        let legs = recipients(&record, only);
        if legs.is_empty() && left_out.is_empty() {
            return Err(CommandError::UnknownSubmission(message.clone()));
        }
        let mut count = 0;
        for (server, first, last) in legs {
            for letter in self.read(self.ports.archive.peers.dead_letters(&server, first, last).await)? {
                self.requeue(&server, letter.index).await?;
                count += 1;
            }
        }
        // A pruned PDU cannot be sent.
        let kept = match record.pdu.as_ref().filter(|_| !left_out.is_empty()) {
            Some(pdu) => self.read(self.ports.archive.contexts.pdu(pdu).await)?,
            None => None,
        };
        if let Some(pdu) = kept {
            let reference = record.pdu.as_ref().expect("its PDU was read");
            for server in left_out {
                let groups = self.ports.roster.contexts().groups.clone();
                let group = groups.of_context(&pdu.context).iter().find(|(other, _)| other == server);
                let update = match group {
                    None => None,
                    Some((_, group)) => match self.ports.text.plain(reference, &pdu.bytes, server, *group) {
                        PlainForm::Update(update) => Some(update),
                        PlainForm::Missing | PlainForm::Withheld => continue,
                    },
                };
                self.queue_left_out(server, message, pdu.bytes.len(), update).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Returns the PDUs of the transactions sent to a peer after this one, for a peer that missed them: whole
    /// transactions, at most `items` PDUs and `bytes` in total, but at least one transaction.
    pub async fn sent_after(
        &self,
        server: &ServerName,
        after: u64,
        items: u32,
        bytes: u64,
    ) -> Result<SentPage, PeerError> {
        let open = self.peer(server).await?.open;
        // Wait for the disk, because transactions that the actor has completed may not be committed yet.
        self.ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
        Ok(self.read(self.ports.archive.peers.sent_after(server, after, open, items, bytes).await)?)
    }

    /// Deletes a quarantined item or a dead letter.
    pub async fn forget_parked(&self, place: &QuarantineKey) -> Result<(), PeerError> {
        let QuarantineKey { server, direction, number } = place.clone();
        let change = match direction {
            Direction::In => Change::QuarantineRemoved { server, number },
            Direction::Out => Change::DeadLetterDeleted { server, index: Index(number) },
        };
        self.change_parked(&place.server, change).await
    }

    /// Requeues a dead letter at the end of its peer's outbox.
    pub async fn requeue(&self, server: &ServerName, index: Index) -> Result<(), CommandError> {
        self.check_overload()?;
        self.routes.peer(server, LookupPurpose::Deliver).await?.has_room(1, 0)?;
        Ok(self.change_parked(server, Change::DeadLetterRequeued { server: server.clone(), index }).await?)
    }

    /// Queues a PDU of this size, or an update in its place, for a recipient that was skipped, at the end of that peer's outbox.
    async fn queue_left_out(
        &self,
        server: &ServerName,
        message: &SubmissionId,
        bytes: usize,
        update: Option<Bytes>,
    ) -> Result<(), CommandError> {
        self.check_overload()?;
        self.routes.peer(server, LookupPurpose::Deliver).await?.has_room(1, bytes)?;
        let (to, submission) = (server.clone(), message.clone());
        let change = match update {
            Some(update) => Change::SkippedCopyQueued { submission, copy: PlainCopy { server: to, update } },
            None => Change::SkippedRecipientQueued { server: to, submission },
        };
        Ok(self.change_parked(server, change).await?)
    }

    /// Passes a quarantined PDU to its context, which validates it like an inbound PDU. It answers after the commit of
    /// the result; the caller decides whether to keep the quarantine row.
    pub async fn admit_parked(&self, from: &ServerName, pdu: Pdu) -> Result<PduVerdict, ContextError> {
        self.check_overload()?;
        let context = pdu.context.clone();
        let verdict = self.routes.context(&context).await?.readmit(from.clone(), pdu).await?;
        self.ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
        Ok(verdict)
    }

    /// Passes a quarantined message of a mapped group to its context. It answers after the commit of the result; `None`: the group
    /// is not mapped. The caller decides whether to keep the quarantine row.
    ///
    /// If the peer numbers its pushes, the number of the row is part of the identity of the message: equal messages of one push have
    /// the same number, and each of them is composed.
    pub async fn bridge_parked(
        &self,
        row: &QuarantineKey,
        seq: Seq,
        message: &GroupMessage,
    ) -> Result<Option<PduVerdict>, ContextError> {
        self.check_overload()?;
        let from = &row.server;
        let limits = self.ports.roster.limits_of(from);
        let Some(context) = limits.groups.context(message.group) else { return Ok(None) };
        let numbers_pushes = match limits.numbering {
            Numbering::Pushes => true,
            Numbering::Updates => false,
            Numbering::Auto => {
                let peer = self.ports.archive.peers.peer(from).await.map_err(|_| UnavailableError::OutcomeUnknown)?;
                peer.record.is_some_and(|record| record.inbound.numbers_pushes)
            }
        };
        let messages = vec![message.numbered(seq, numbers_pushes.then_some(MessagePlace::InQuarantine(row.number)))];
        // A release does not know how the peer was authenticated, so assume the weakest proof.
        let bridged = self.routes.context(context).await?.bridge(from.clone(), "network", messages).await;
        let verdicts = bridged.map_err(|error| match error {
            DispatchError::Faulty => ContextError::Faulty(context.clone()),
            DispatchError::Busy(busy) => UnavailableError::from(busy).into(),
            DispatchError::Died | DispatchError::Late | DispatchError::Slow(_) => {
                UnavailableError::OutcomeUnknown.into()
            }
        })?;
        self.ports.journal.barrier().committed().await.map_err(|_| UnavailableError::OutcomeUnknown)?;
        Ok(verdicts.into_iter().next())
    }

    /// Judges a quarantined forward of this sender again, and takes it or passes it on if that is right now. It answers after the
    /// commit; the caller decides whether to keep the quarantine row.
    pub async fn settle_forward(
        &self,
        sender: &ServerName,
        forward: ForwardedUpdate,
    ) -> Result<ForwardStep, BatchError> {
        self.check_overload().map_err(UnavailableError::from)?;
        let step = judge(&forward, sender, self.ports.clock.now());
        match step {
            ForwardStep::PassOn => {
                let ForwardedUpdate { route, id, sent, onward: text, .. } = forward;
                let memory = forwards::memory(&self.ports.roster.limits_of(sender), self.ports.clock.now());
                let change = Change::ForwardPassedOn { route, id, sent, text, memory };
                self.change_parked(sender, change).await?;
            }
            ForwardStep::Take => {
                let update = forward.update.map(|update| *update).into_iter().collect();
                let push = forwarded_push(forward.number, update);
                let receipt = self.routes.forward(&forward.route.origin, push).await?;
                if !matches!(receipt.ack, Ack::Ok(_)) {
                    let reason = "more updates of its origin wait than relay.held_max allows".to_owned();
                    return Ok(ForwardStep::Refuse(RelayCode::NotKept, reason));
                }
            }
            ForwardStep::Known | ForwardStep::Refuse(..) => {}
        }
        Ok(step)
    }

    async fn change_parked(&self, server: &ServerName, change: Change) -> Result<(), PeerError> {
        let fence = self.ports.ownership.claim(server).ok_or_else(|| PeerError::UnknownPeer(server.clone()))?;
        let ticket = self.ports.journal.submit(fence, vec![change], CommitPriority::Now);
        ticket.committed().await.map_err(|_| UnavailableError::OutcomeUnknown.into())
    }

    async fn submission(&self, message: &SubmissionId) -> Result<SubmissionRecord, CommandError> {
        let record = self.read(self.ports.archive.submissions.submission(message).await)?;
        record.ok_or_else(|| CommandError::UnknownSubmission(message.clone()))
    }

    pub(super) fn read<T>(&self, read: Result<T, ArchiveError>) -> Result<T, UnavailableError> {
        read.map_err(|error| {
            tracing::error!(%error, "the store cannot be read");
            UnavailableError::OutcomeUnknown
        })
    }
}

/// Returns the index ranges of a submission in each outbox: the original range and the requeued items.
fn recipients(record: &SubmissionRecord, only: Option<&ServerName>) -> Vec<(ServerName, Index, Index)> {
    let servers =
        record.queued.iter().map(|(server, _)| server).filter(|server| only.is_none_or(|only| only == *server));
    let legs = |server| record.runs(server).map(move |(first, last)| (ServerName::clone(server), first, last));
    servers.flat_map(legs).collect()
}
