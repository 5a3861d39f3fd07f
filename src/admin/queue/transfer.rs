//! `POST /admin/v1/queue/{server}/move`: moves submissions that match from the queue of a peer to the end of that of another one. A
//! submission that may not go there stays, and the answer says why.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use actors::model::{Index, ServerName, SubmissionRecord};

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorBody, OperatorCall, peer};
use crate::admin::queue::acked;
use crate::admin::queue::selection::{QueuePage, QueueRun};
use crate::api::queue::{QueueMoveRequest, QueueMoveResult, QueueSelection, StayingItems};
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;

/// Error: a submission stays in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
enum MoveRefusal {
    #[error("the submission is no longer recorded, so it is not known for which servers it was")]
    NotRecorded,
    #[error("the peer has a part of the submission, or a part was queued again")]
    PartlySent,
    #[error("a third server may bring it to the peer")]
    Relayed,
    #[error("the submission was sent to the other peer, too")]
    SentToBoth,
    #[error("it has the form for a group of the peer, or the context is a group of the other peer")]
    GroupForm,
    #[error("the other peer uses the transactions dialect, which has no updates")]
    NoUpdates,
    #[error("the other peer does not participate in the context")]
    NotParticipant,
    #[error("the message is narrowed to other servers")]
    Narrowed,
    #[error("an item is larger than peers.batch_bytes of the other peer")]
    TooLarge,
    #[error("the outbox of the other peer has no room (peers.outbox_items, peers.outbox_bytes)")]
    NoRoom,
}

impl MoveRefusal {
    const fn code(self) -> &'static str {
        match self {
            Self::NotRecorded => "NOT_RECORDED",
            Self::PartlySent => "PARTLY_SENT",
            Self::Relayed => "RELAYED",
            Self::SentToBoth => "SENT_TO_BOTH",
            Self::GroupForm => "GROUP_FORM",
            Self::NoUpdates => "DIALECT",
            Self::NotParticipant => "NOT_A_PARTICIPANT",
            Self::Narrowed => "NARROWED",
            Self::TooLarge => "TOO_LARGE",
            Self::NoRoom => "OUTBOX_FULL",
        }
    }
}

/// Moves the submissions that match and may be moved, or counts them.
pub(in crate::admin) async fn transfer(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    path: web::Path<String>,
    OperatorBody(asked): OperatorBody<QueueMoveRequest>,
) -> Result<HttpResponse, ApiError> {
    let QueueMoveRequest { to, context, older_than, before, dry_run, after } = asked;
    let (server, to) = (peer(&api.gateway, &path)?, peer(&api.gateway, &to)?);
    if server == to {
        return Err(ApiError::unprocessable("SAME_PEER", format!("the items are in the queue of {to} already")));
    }
    let selection = QueueSelection { context, older_than, before, dry_run, after };
    let page = QueuePage::read(&api, &server, &selection, acked(&api, &server).await?).await?;
    let relayed = api.gateway.peer(&server).await?.relayed.map_or(Index(0), |(_, upto)| upto);
    let mut result = QueueMoveResult {
        server: server.to_string(),
        to: to.to_string(),
        time: rfc3339(api.gateway.ports().clock.now()),
        dry_run,
        items: 0,
        bytes: 0,
        messages: 0,
        forwards: page.forwards,
        stay: Vec::new(),
        next: page.next.map(|next| next.0),
    };
    let mut staying: BTreeMap<MoveRefusal, u64> = BTreeMap::new();
    for run in &page.runs {
        let done = match refusal(&api, (&server, &to), run, relayed).await? {
            Some(refusal) => Err(refusal),
            None if dry_run => Ok(()),
            None => move_run(&api, (&server, &to), run).await?,
        };
        match done {
            Ok(()) => {
                result.items += run.indexes.len() as u64;
                result.bytes += run.bytes;
                result.messages += 1;
            }
            Err(refusal) => *staying.entry(refusal).or_default() += run.indexes.len() as u64,
        }
    }
    let row = |(refusal, items): (MoveRefusal, u64)| StayingItems {
        code: refusal.code().into(),
        reason: refusal.to_string(),
        items,
    };
    result.stay = staying.into_iter().map(row).collect();
    if !dry_run {
        operator.log_action("queue.move", &format_args!("{server} to {to}: {} items", result.items), Ok(()));
    }
    Ok(HttpResponse::Ok().json(result))
}

/// Returns the reason for which a submission may not be moved; `None`: it may.
async fn refusal(
    api: &AdminApi,
    (from, to): (&ServerName, &ServerName),
    run: &QueueRun,
    relayed: Index,
) -> Result<Option<MoveRefusal>, ApiError> {
    let ports = api.gateway.ports();
    let Some(record) = ports.archive.submissions.submission(&run.submission).await? else {
        return Ok(Some(MoveRefusal::NotRecorded));
    };
    let is_whole = run.indexes.len() as u64 == u64::from(record.items)
        && record.queued.iter().any(|(server, first)| server == from && *first == run.first());
    if !is_whole {
        return Ok(Some(MoveRefusal::PartlySent));
    }
    if run.first() <= relayed {
        return Ok(Some(MoveRefusal::Relayed));
    }
    if is_recipient(&record, to) {
        return Ok(Some(MoveRefusal::SentToBoth));
    }
    let limits = ports.roster.limits(to);
    if limits.as_ref().is_some_and(|limits| run.largest > limits.batch_bytes) {
        return Ok(Some(MoveRefusal::TooLarge));
    }
    let Some((reference, context)) = &run.item.pdu else {
        let takes_updates = limits.is_some_and(|limits| limits.dialect.carries_updates);
        return Ok(match (record.pdu.is_some(), takes_updates) {
            (true, _) => Some(MoveRefusal::GroupForm),
            (false, false) => Some(MoveRefusal::NoUpdates),
            (false, true) => None,
        });
    };
    let groups = ports.roster.contexts().groups.clone();
    if groups.of_context(context).iter().any(|(server, _)| server == to) {
        return Ok(Some(MoveRefusal::GroupForm));
    }
    let participants = ports.archive.contexts.context_record(context).await?.map(|record| record.participants);
    if !participants.is_some_and(|participants| participants.contains(to)) {
        return Ok(Some(MoveRefusal::NotParticipant));
    }
    let is_for = ports.archive.contexts.pdu(reference).await?.is_some_and(|pdu| pdu.is_for(to));
    Ok((!is_for).then_some(MoveRefusal::Narrowed))
}

/// Moves a submission. The peer may have taken a part of it meanwhile, so its record decides.
async fn move_run(
    api: &AdminApi,
    (from, to): (&ServerName, &ServerName),
    run: &QueueRun,
) -> Result<Result<(), MoveRefusal>, ApiError> {
    let bytes = usize::try_from(run.bytes).unwrap_or(usize::MAX);
    let moved = api.gateway.move_items(from, to, &run.submission, (run.first(), run.last()), bytes).await;
    if let Err(problem) = moved.map_err(ApiError::from) {
        return if problem.code() == "OUTBOX_FULL" { Ok(Err(MoveRefusal::NoRoom)) } else { Err(problem) };
    }
    let record = api.gateway.ports().archive.submissions.submission(&run.submission).await?;
    let is_moved = record.is_some_and(|record| is_recipient(&record, to));
    Ok(if is_moved { Ok(()) } else { Err(MoveRefusal::PartlySent) })
}

/// Returns whether a submission is, or was, for a server.
fn is_recipient(record: &SubmissionRecord, server: &ServerName) -> bool {
    let is_queued = record.queued.iter().any(|(name, _)| name == server);
    is_queued || [&record.dropped, &record.left_out, &record.formless].iter().any(|names| names.contains(server))
}
