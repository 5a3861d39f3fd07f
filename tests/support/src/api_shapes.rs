//! Checks answers of the APIs against the types of `fernpost::api`: each answer is read as its type, which must write the
//! same bytes. Its status and its code must stand in `/openapi.json`.

use std::sync::LazyLock;

use actix_web::http::Method;
use fernpost::api::configuration::LogLevelDetails;
use fernpost::api::contexts::verification::ContextVerification;
use fernpost::api::contexts::{ContextDetails, ContextPage, JoinStarted, MergeResult, ParticipantsSet};
use fernpost::api::errors::ErrorBody;
use fernpost::api::explain::reach_report::ReachReport;
use fernpost::api::feed::{EventsPage, HistoryPageShape, StatePageShape};
use fernpost::api::health::flow::FlowReport;
use fernpost::api::health::status::StatusReport;
use fernpost::api::messages::{MessageCommandResult, MessageListPage, MessageTrace};
use fernpost::api::peers::{PeerDetails, PeerDrain, PeerList};
use fernpost::api::quarantine::{
    BulkReleaseResult, QuarantineListPage, QuarantineRow, RefusedEventPage, RefusedEventResult, ReleaseResult,
    SelectionResult,
};
use fernpost::api::queue::{QueueItemsPage, QueueMoveResult, QueuePurgeResult, QueueShapePage};
use fernpost::api::store::backups::ScheduledBackups;
use fernpost::api::store::{BackupProgress, StoreDetails};
use fernpost::api::submissions::{AcceptedSubmission, BatchAnswer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Checks the answer to one call. `path` is the whole path of the request, with its query.
pub fn assert_answer_has_type(method: &Method, path: &str, status: u16, body: &str) {
    assert_documented(method, path, status, body);
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
        (_, ["peers", _, "drain"]) => same::<PeerDrain>(path, body),
        (_, ["peers", _, "reach"]) => same::<ReachReport>(path, body),
        (_, ["peers", ..]) => same::<PeerDetails>(path, body),
        ("GET", ["contexts"]) => same::<ContextPage>(path, body),
        ("GET", ["contexts", _]) => same::<ContextDetails>(path, body),
        ("PUT", ["contexts", _]) => same::<ParticipantsSet>(path, body),
        (_, ["contexts", _, "join"]) => same::<JoinStarted>(path, body),
        (_, ["contexts", _, "verify"]) => same::<ContextVerification>(path, body),
        (_, ["contexts", _, "merge"]) => same::<MergeResult>(path, body),
        ("GET", ["messages"]) => same::<MessageListPage>(path, body),
        ("GET", ["messages", _]) => same::<MessageTrace>(path, body),
        ("PUT", ["messages" | "updates", _]) => same::<AcceptedSubmission>(path, body),
        ("POST", ["messages"]) => same::<BatchAnswer>(path, body),
        ("POST", ["messages", ..]) => same::<MessageCommandResult>(path, body),
        ("GET", ["queue"]) => same::<QueueShapePage>(path, body),
        ("GET", ["queue", _]) => same::<QueueItemsPage>(path, body),
        ("POST", ["queue", _, "purge"]) => same::<QueuePurgeResult>(path, body),
        ("POST", ["queue", _, "move"]) => same::<QueueMoveResult>(path, body),
        ("POST", ["quarantine", "release" | "drop"]) => same::<SelectionResult>(path, body),
        ("GET", ["quarantine"]) if is_of_messenger => same::<RefusedEventPage>(path, body),
        ("POST", ["quarantine", ..]) if is_of_messenger => same::<RefusedEventResult>(path, body),
        ("GET", ["quarantine"]) => same::<QuarantineListPage>(path, body),
        ("GET", ["quarantine", ..]) => same::<QuarantineRow>(path, body),
        ("POST", ["quarantine", _, _]) => same::<BulkReleaseResult>(path, body),
        ("POST", ["quarantine", ..]) => same::<ReleaseResult>(path, body),
        ("GET", ["flow"]) => same::<FlowReport>(path, body),
        ("GET", ["store"]) => same::<StoreDetails>(path, body),
        ("GET", ["status"]) => same::<StatusReport>(path, body),
        (_, ["log"]) => same::<LogLevelDetails>(path, body),
        (_, ["store", "backups"]) => same::<ScheduledBackups>(path, body),
        (_, ["store", "backup"]) => same::<BackupProgress>(path, body),
        ("GET", ["events"]) => same_value::<EventsPage>(path, body),
        ("GET", ["contexts", _, "history"]) => same_value::<HistoryPageShape>(path, body),
        ("GET", ["contexts", _, "state"]) => same_value::<StatePageShape>(path, body),
        other => panic!("{other:?} has no type in this list: {body}"),
    }
}

fn same<T: Serialize + DeserializeOwned>(path: &str, body: &str) {
    let value: T = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    assert_eq!(serde_json::to_string(&value).expect("plain"), body, "{path}");
}

/// Compares values: these answers contain the content of PDUs byte for byte, which no type keeps.
fn same_value<T: Serialize + DeserializeOwned>(path: &str, body: &str) {
    let value: T = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
    let read: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(serde_json::to_value(&value).expect("plain"), read, "{path}");
}

static MESSENGER: LazyLock<Value> = LazyLock::new(fernpost::messenger::document);
static OPERATOR: LazyLock<Value> = LazyLock::new(fernpost::admin::document);

/// Checks that the description of the API has this answer to this call.
fn assert_documented(method: &Method, path: &str, status: u16, body: &str) {
    let document: &Value = if path.starts_with("/admin") { &OPERATOR } else { &MESSENGER };
    let code = (status >= 400).then(|| serde_json::from_str::<ErrorBody>(body).ok()).flatten().map(|error| error.code);
    let segments: Vec<&str> = path_of(path).collect();
    let paths = document["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let parts: Vec<&str> = path_of(template).collect();
        let same = |(part, segment): (&&str, &&str)| part == segment || part.starts_with('{');
        (parts.len() == segments.len() && parts.iter().zip(&segments).all(same))
            .then(|| parts.iter().filter(|part| !part.starts_with('{')).count())
    };
    let candidates = paths.iter().filter_map(|(template, item)| Some((fits(template)?, item)));
    let Some((_, item)) = candidates.max_by_key(|(literal, _)| *literal) else {
        // Below a path that needs a token, nobody without it learns what is there.
        let is_expected = matches!((status, code.as_deref()), (404, Some("NO_ROUTE")) | (401, Some("UNAUTHENTICATED")));
        assert!(is_expected, "{path} is not described: {status} {body}");
        return;
    };
    let method = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let Some(operation) = item.get(&method) else {
        assert_eq!((status, code.as_deref()), (405, Some("WRONG_METHOD")), "{method} {path} is not described");
        return;
    };
    let answer = &operation["responses"][status.to_string()];
    assert!(answer.is_object(), "{method} {path}: the status {status} is not described: {body}");
    if let Some(code) = code {
        let schema = &answer["content"]["application/json"]["schema"];
        let choices = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        let mut codes = choices.iter().filter_map(|choice| choice["properties"]["code"]["enum"].as_array()).flatten();
        assert!(codes.any(|known| known == code.as_str()), "{method} {path}: {status} {code} is not described");
    }
}

fn path_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('?').next().unwrap_or_default().split('/').filter(|segment| !segment.is_empty())
}
