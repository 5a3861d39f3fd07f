//! Messages on their way into their conversations: each taken once, those of one conversation together and in order.

use std::collections::{HashMap, HashSet};

use actors::model::{Composed, ContextId, Refusal, SubmissionId, SubmissionRecord};
use tokio::task::{JoinError, JoinSet};

use super::MessengerApi;
use super::message_body::MessageBody;
use super::submission::in_use;
use crate::http::refusal::Problem;

/// Conversations spoken in at a time.
const AT_ONCE: usize = 64;

/// One message.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The messenger's id for it.
    pub(super) id: SubmissionId,
    /// What it says.
    pub(super) body: MessageBody,
}

/// What became of it.
pub(super) type Outcome = Result<Composed, Problem>;

/// Messages with their places among those of the call.
type Placed<T> = Vec<(usize, T)>;

/// Say them; one outcome each, in order. The caller has the turns of their ids.
pub(super) async fn say(api: &MessengerApi, messages: Vec<Message>) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = messages.iter().map(|_| Err(Refusal::OutcomeUnknown.into())).collect();
    let mut left: Placed<Message> = messages.into_iter().enumerate().collect();
    // An id that comes twice is looked at again once it is known what became of the first.
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

/// No id comes twice in these.
async fn in_all_contexts(api: &MessengerApi, messages: Placed<Message>) -> Placed<Outcome> {
    let mut by_context: HashMap<ContextId, Placed<Message>> = HashMap::new();
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

/// What a task that panicked leaves unsaid stays unknown.
fn note(outcomes: &mut Placed<Outcome>, joined: Option<Result<Placed<Outcome>, JoinError>>) {
    if let Some(Ok(more)) = joined {
        outcomes.extend(more);
    }
}

async fn in_context(api: &MessengerApi, context: &ContextId, messages: Placed<Message>) -> Placed<Outcome> {
    let mut outcomes = Vec::with_capacity(messages.len());
    let mut fresh = Vec::new();
    for (place, message) in messages {
        // Before anything the configuration decides: a repeat has its answer after a peer was removed, too.
        match api.gateway.ports().archive.submission(&message.id).await {
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

/// The answer to an id that is taken: the one it had, or that it is another submission's.
fn repeat(message: &Message, record: SubmissionRecord) -> Outcome {
    match record.pdu {
        Some(reference) if record.digest == message.body.digest => {
            Ok(Composed { reference, peers: record.queued.into_iter().map(|(server, _)| server).collect() })
        }
        _ => Err(in_use(&message.id)),
    }
}

async fn compose(api: &MessengerApi, context: &ContextId, messages: Placed<Message>) -> Placed<Outcome> {
    let ports = api.gateway.ports();
    let record = match api.gateway.record(context) {
        Ok(record) => record,
        Err(refusal) => return messages.into_iter().map(|(place, _)| (place, Err((&refusal).into()))).collect(),
    };
    let participants = record.participants.iter().collect();
    let (mut outcomes, mut places, mut drafts) = (Vec::new(), Vec::new(), Vec::new());
    for (place, Message { id, body }) in messages {
        if let Err(problem) = body.check(&participants, &*ports.roster, &api.us) {
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
    match api.gateway.compose(context, drafts).await {
        Ok(composed) => {
            let composed = composed.into_iter().map(|outcome| outcome.map_err(Problem::from));
            outcomes.extend(places.into_iter().zip(composed));
        }
        Err(refusal) => {
            if refusal == Refusal::OutcomeUnknown {
                // What was handed over before the conversation died may still be on its way to the disk. Until it is there the
                // ids stay taken: else the messenger's repeat would find no record and be said a second time.
                let _lost_with_the_process = ports.journal.barrier().committed().await;
            }
            outcomes.extend(places.into_iter().map(|place| (place, Err((&refusal).into()))));
        }
    }
    outcomes
}
