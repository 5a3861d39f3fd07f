//! Submits messages to their contexts: each once, those of one context together and in order.

use std::collections::{HashMap, HashSet};

use actors::errors::{ContextError, UnavailableError};
use actors::model::{ComposedPdu, ContextId, SubmissionId, SubmissionRecord};
use actors::supervise::catch_panic::guard_future;
use tokio::task::{JoinError, JoinSet};

use crate::http::error::ApiError;
use crate::messenger::MessengerApi;
use crate::messenger::messages::body::{MessageAudience, MessageBody};
use crate::messenger::submission::id_in_use_error;

/// Maximum number of contexts that messages are submitted to at the same time.
const AT_ONCE: usize = 64;

/// A message to submit.
#[derive(Debug, Clone)]
pub(crate) struct SubmittedMessage {
    /// Id that the messenger gave to it.
    pub(crate) id: SubmissionId,
    /// Decoded body of the message.
    pub(crate) body: MessageBody,
}

/// The result for one message.
pub(crate) type Outcome = Result<ComposedPdu, ApiError>;

/// Values with their index in the call.
type Indexed<T> = Vec<(usize, T)>;

/// Submits messages and returns one result per message, in order. The caller holds the locks of their ids.
pub(crate) async fn submit_messages(api: &MessengerApi, messages: Vec<SubmittedMessage>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = messages.iter().map(|_| Err(UnavailableError::OutcomeUnknown.into())).collect();
    let mut left: Indexed<SubmittedMessage> = messages.into_iter().enumerate().collect();
    // A repeated id is processed again once the result of its first occurrence is known.
    while !left.is_empty() {
        let mut ids = HashSet::new();
        let (first, again) = left.into_iter().partition(|(_, message)| ids.insert(message.id.clone()));
        for (place, outcome) in in_all_contexts(api, first).await {
            outcomes[place] = outcome;
        }
        left = again;
    }
    outcomes
}

/// Submits messages without repeated ids, grouped by context.
async fn in_all_contexts(api: &MessengerApi, messages: Indexed<SubmittedMessage>) -> Indexed<Outcome> {
    if let Some((_, first)) = messages.first()
        && messages.iter().all(|(_, message)| message.body.context == first.body.context)
    {
        let context = first.body.context.clone();
        // One context needs no task of its own. The outcomes stay unknown after a panic, as those of a task do.
        return guard_future(in_context(api, &context, messages)).await.unwrap_or_default();
    }
    let mut by_context: HashMap<ContextId, Indexed<SubmittedMessage>> = HashMap::new();
    for (place, message) in messages {
        by_context.entry(message.body.context.clone()).or_default().push((place, message));
    }
    let mut outcomes = Vec::new();
    let mut speaking = JoinSet::new();
    for (context, messages) in by_context {
        if speaking.len() >= AT_ONCE {
            note(&mut outcomes, speaking.join_next().await);
        }
        let api = api.clone();
        speaking.spawn_local(async move { in_context(&api, &context, messages).await });
    }
    while !speaking.is_empty() {
        note(&mut outcomes, speaking.join_next().await);
    }
    outcomes
}

/// Collects the results of a task; those of a task that panicked stay unknown.
fn note(outcomes: &mut Indexed<Outcome>, joined: Option<Result<Indexed<Outcome>, JoinError>>) {
    if let Some(Ok(more)) = joined {
        outcomes.extend(more);
    }
}

async fn in_context(api: &MessengerApi, context: &ContextId, messages: Indexed<SubmittedMessage>) -> Indexed<Outcome> {
    let mut outcomes = Vec::with_capacity(messages.len());
    let mut fresh = Vec::new();
    for (place, message) in messages {
        // This precedes all checks against the configuration: a repeat is recognized even after a peer was removed.
        match api.gateway.ports().archive.submissions.submission(&message.id).await {
            Ok(None) => fresh.push((place, message)),
            Ok(Some(record)) => outcomes.push((place, repeat(&message, record))),
            Err(error) => outcomes.push((place, Err(error.into()))),
        }
    }
    if !fresh.is_empty() {
        outcomes.extend(compose(api, context, fresh).await);
    }
    outcomes
}

/// Returns the result for an id that is in use: that of the first submission, or an error if it is another
/// submission's.
fn repeat(message: &SubmittedMessage, record: SubmissionRecord) -> Outcome {
    match record.pdu {
        Some(reference) if record.digest == message.body.digest => {
            Ok(ComposedPdu { reference, peers: record.queued.into_iter().map(|(server, _)| server).collect() })
        }
        _ => Err(id_in_use_error(&message.id)),
    }
}

async fn compose(api: &MessengerApi, context: &ContextId, messages: Indexed<SubmittedMessage>) -> Indexed<Outcome> {
    let ports = api.gateway.ports();
    let record = match api.gateway.record(context).await {
        Ok(record) => record,
        Err(error) => {
            let problem = ApiError::from(error);
            return messages.into_iter().map(|(place, _)| (place, Err(problem.clone()))).collect();
        }
    };
    let audience = MessageAudience::new(&record.participants, &*ports.roster);
    let (mut outcomes, mut places, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
    for (place, SubmittedMessage { id, body }) in messages {
        if let Err(problem) = body.check(&audience, &api.us) {
            outcomes.push((place, Err(problem)));
            continue;
        }
        let now = ports.clock.now();
        places.push(place);
        drafts.push(body.draft(id, api.pdu_ids.next(now), now, &api.us));
    }
    if drafts.is_empty() {
        return outcomes;
    }
    let _traced = api.spans.submission(drafts.iter().map(|draft| &draft.submission));
    match api.gateway.compose_among(context, record.participants, drafts).await {
        Ok(composed) => {
            let composed = composed.into_iter().map(|outcome| outcome.map_err(ApiError::from));
            outcomes.extend(places.into_iter().zip(composed));
        }
        Err(error) => {
            if error == ContextError::Unavailable(UnavailableError::OutcomeUnknown) {
                // The batch may still be on its way to the disk after the context's actor has exited. The ids stay
                // locked until it is committed: otherwise the messenger's repeat would find no record and be submitted
                // a second time.
                let _lost_with_the_process = ports.journal.barrier().committed().await;
            }
            let problem = ApiError::from(error);
            outcomes.extend(places.into_iter().map(|place| (place, Err(problem.clone()))));
        }
    }
    outcomes
}
