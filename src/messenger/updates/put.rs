//! `PUT /v1/updates/{id}`: submits strong updates for servers; a repeat has no effect.

use actix_web::{Error, HttpResponse, web};
use actors::model::{DigestKey, Submission, SubmissionId, SubmissionRecord, SubmittedContent};
use actors::ports::SubmissionReader;
use bytes::Bytes;

use crate::http::error::ApiError;
use crate::json::canonical::same_value;
use crate::messenger::MessengerApi;
use crate::messenger::answer::unreadable_body;
use crate::messenger::submission;
use crate::messenger::submission::{accepted, id_in_use_error};
use crate::messenger::uncancelled_call::UncancelledCall;
use crate::messenger::updates::body::UpdatesBody;

/// Submits updates, and responds after the commit.
pub(crate) async fn put(
    api: web::Data<MessengerApi>,
    path: web::Path<String>,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    submit(api, submission::id(&path)?, body).await
}

/// Submits updates under an id that was read already.
pub(crate) async fn submit(
    api: web::Data<MessengerApi>,
    id: SubmissionId,
    body: Result<Bytes, Error>,
) -> Result<HttpResponse, ApiError> {
    let body = body.map_err(|error| unreadable_body(&error, api.limits.body_max))?;
    let updates = UpdatesBody::decode(&body)?;
    UncancelledCall::new(async move { take(&api, &id, &body, updates).await }).await
}

async fn take(api: &MessengerApi, id: &SubmissionId, text: &[u8], body: UpdatesBody) -> Result<HttpResponse, ApiError> {
    let ports = api.gateway.ports();
    let digest = ports.archive.submissions.digest_key().digest(text);
    let _turn = submission::turns(api, vec![id.clone()]).await?;
    // This precedes all checks against the configuration: a repeat is recognized even after a peer was removed.
    if let Some(record) = ports.archive.submissions.submission(id).await? {
        let is_text = DigestKey::is_digest_of(record.digest, digest, text);
        return repeat(&*ports.archive.submissions, id, (&record, is_text), &body).await;
    }
    body.check(&*ports.roster, &api.us)?;
    let servers = body.to.clone();
    let (receipt, what) = (body.receipt, SubmittedContent::Updates(body.strong));
    let (accepted_at, left_out) = (ports.clock.now(), vec![]);
    let submission = Submission { id: id.clone(), digest, accepted: accepted_at, servers, left_out, receipt, what };
    let _traced = api.spans.submission([id]);
    api.gateway.submit(submission).await?;
    Ok(accepted(id, None, &body.to))
}

/// Returns the response for an id that is in use: that of the first submission, or an error if it is another
/// submission's. `is_text`: its text is that of the first one.
async fn repeat(
    submissions: &dyn SubmissionReader,
    id: &SubmissionId,
    (record, is_text): (&SubmissionRecord, bool),
    body: &UpdatesBody,
) -> Result<HttpResponse, ApiError> {
    let servers = || record.queued.iter().map(|(server, _)| server);
    // The digest covers the bytes as received, so the common repeat is recognized without reading the stored updates.
    let same = is_text
        || (record.pdu.is_none()
            && servers().eq(&body.to)
            && body.strong.len() == record.items as usize
            && submissions.submitted_updates(id).await?.is_some_and(|kept| same_updates(&kept, &body.strong)));
    if same { Ok(accepted(id, None, servers())) } else { Err(id_in_use_error(id)) }
}

fn same_updates(kept: &[Bytes], repeated: &[Bytes]) -> bool {
    let same = |(kept, repeated): (&Bytes, &Bytes)| match (str::from_utf8(kept), str::from_utf8(repeated)) {
        (Ok(kept), Ok(repeated)) => same_value(kept, repeated),
        _ => false,
    };
    kept.len() == repeated.len() && kept.iter().zip(repeated).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reformatted_repeat_equals_same_updates() {
        let kept = [Bytes::from_static(br#"{"a":1,"b":2}"#), Bytes::from_static(b"{}")];
        let anew = [Bytes::from_static(br#"{"b":2, "a":1}"#), Bytes::from_static(b"{ }")];
        assert!(same_updates(&kept, &anew));
        assert!(!same_updates(&kept, &anew[..1]));
        assert!(!same_updates(&kept, &[anew[1].clone(), anew[0].clone()]));
    }
}
