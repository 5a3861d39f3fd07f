//! Checks answers of the APIs against the types of `fernpost::api`: each answer is read as its type, which must write the
//! same bytes.

use actix_web::http::Method;
use fernpost::api::contexts::{ContextDetails, ContextPage, JoinStarted, MergeResult, ParticipantsSet};
use fernpost::api::errors::ErrorBody;
use fernpost::api::messages::{MessageCommandResult, MessageTrace};
use fernpost::api::peers::{PeerDetails, PeerList};
use fernpost::api::quarantine::{
    BulkReleaseResult, QuarantineListPage, QuarantineRow, RefusedEventPage, RefusedEventResult, ReleaseResult,
};
use fernpost::api::queue::{QueueItemsPage, QueueShapePage};
use fernpost::api::store::{BackupProgress, StoreDetails};
use fernpost::api::submissions::{AcceptedSubmission, BatchAnswer};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks the answer to one call. `path` is the whole path of the request, with its query.
pub fn assert_answer_has_type(method: &Method, path: &str, status: u16, body: &str) {
    if body.is_empty() {
        return;
    }
    if status >= 400 {
        return same::<ErrorBody>(path, body);
    }
    let path_alone = path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path_alone.split('/').filter(|segment| !segment.is_empty()).collect();
    let segments = if segments[0] == "admin" { &segments[2..] } else { &segments[1..] };
    let is_of_messenger = path.contains("of=messenger");
    match (method.as_str(), segments) {
        (_, ["peers"]) => same::<PeerList>(path, body),
        (_, ["peers", ..]) => same::<PeerDetails>(path, body),
        ("GET", ["contexts"]) => same::<ContextPage>(path, body),
        ("GET", ["contexts", _]) => same::<ContextDetails>(path, body),
        ("PUT", ["contexts", _]) => same::<ParticipantsSet>(path, body),
        (_, ["contexts", _, "join"]) => same::<JoinStarted>(path, body),
        (_, ["contexts", _, "merge"]) => same::<MergeResult>(path, body),
        ("GET", ["messages", _]) => same::<MessageTrace>(path, body),
        ("PUT", ["messages" | "updates", _]) => same::<AcceptedSubmission>(path, body),
        ("POST", ["messages"]) => same::<BatchAnswer>(path, body),
        ("POST", ["messages", ..]) => same::<MessageCommandResult>(path, body),
        ("GET", ["queue"]) => same::<QueueShapePage>(path, body),
        ("GET", ["queue", _]) => same::<QueueItemsPage>(path, body),
        ("GET", ["quarantine"]) if is_of_messenger => same::<RefusedEventPage>(path, body),
        ("POST", ["quarantine", ..]) if is_of_messenger => same::<RefusedEventResult>(path, body),
        ("GET", ["quarantine"]) => same::<QuarantineListPage>(path, body),
        ("GET", ["quarantine", ..]) => same::<QuarantineRow>(path, body),
        ("POST", ["quarantine", _, _]) => same::<BulkReleaseResult>(path, body),
        ("POST", ["quarantine", ..]) => same::<ReleaseResult>(path, body),
        ("GET", ["store"]) => same::<StoreDetails>(path, body),
        (_, ["store", "backup"]) => same::<BackupProgress>(path, body),
        // These answers are written without a type, because the content of PDUs is copied into them.
        ("GET", ["events"] | ["contexts", _, "history" | "state"]) => {}
        other => panic!("{other:?} has no type in this list: {body}"),
    }
}

fn same<T: Serialize + DeserializeOwned>(path: &str, body: &str) {
    let value: T = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert_eq!(serde_json::to_string(&value).expect("plain"), body, "{path}");
}
