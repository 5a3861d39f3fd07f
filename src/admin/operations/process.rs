//! The operations about the process: its configuration and its store.

use serde_json::json;

use super::{BODY, NAMED_PEER, OPERATOR};
use crate::admin::config::log_level;
use crate::admin::messenger::feed_tail;
use crate::admin::status::flow;
use crate::admin::store::backups;
use crate::admin::{config, status, store};
use crate::api::configuration::ReloadReport;
use crate::api::configuration::{LogLevelDetails, LogLevelRequest};
use crate::api::feed::EventsPage;
use crate::api::health::flow::FlowReport;
use crate::api::health::status::StatusReport;
use crate::api::store::backups::ScheduledBackups;
use crate::api::store::{BackupProgress, BackupRequest, StoreDetails};
use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::{EVERY, QUERY, UNAVAILABLE};

pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::post("/reload", "Take over a changed configuration.", |route| route.to(config::reload))
            .answers::<ReloadReport>(200, "It is in force.")
            .answers::<ReloadReport>(422, "It is refused, and nothing has changed.")
            .refuses(&[EVERY, OPERATOR]),
        ApiOperation::get("/status", "Show the state of the gateway, and its problems.", |route| route.to(status::get))
            .answers::<StatusReport>(200, "The state, on one screen.")
            .refuses(&[EVERY, OPERATOR]),
        ApiOperation::get("/events", "Read the feed of the messenger; this moves nothing.", |route| {
            route.to(feed_tail::get)
        })
        .query::<feed_tail::FeedTailQuery>()
        .answers::<EventsPage>(200, "A page of events.")
        .refuses(&[
            EVERY,
            OPERATOR,
            QUERY,
            UNAVAILABLE,
            &[(410, &["GONE"]), (422, &["BEYOND_TAIL"]), (429, &["TOO_MANY_READS"])],
        ])
        .needs(OperatorRole::Operate),
        ApiOperation::get("/flow", "Show the flow of items, minute by minute.", |route| route.to(flow::get))
            .query::<flow::FlowQuery>()
            .answers::<FlowReport>(200, "The last minutes, up to a day, as far as the process has run.")
            .refuses(&[EVERY, OPERATOR, QUERY]),
        ApiOperation::get("/log", "Show the level of the log.", |route| route.to(log_level::show))
            .answers::<LogLevelDetails>(200, "The standing level, and the one that was set for a time.")
            .refuses(&[EVERY, OPERATOR, &[(409, &["NO_LOG"])]]),
        ApiOperation::post("/log", "Set the level of the log for a time.", |route| route.to(log_level::set))
            .body::<LogLevelRequest>(json!({ "level": "debug", "peer": "blue.example", "for": "10m" }))
            .answers::<LogLevelDetails>(200, "It is in force until the time that the answer states.")
            .refuses(&[EVERY, OPERATOR, BODY, NAMED_PEER, &[(409, &["NO_LOG"]), (422, &["BAD_LEVEL", "BAD_TIME"])]])
            .needs(OperatorRole::Operate),
        ApiOperation::get("/store", "Show the size of the store.", |route| route.to(store::stats))
            .answers::<StoreDetails>(200, "Its tables, and the work done since the start.")
            .refuses(&[EVERY, OPERATOR, UNAVAILABLE]),
        ApiOperation::get("/store/backups", "Show the scheduled backups.", |route| route.to(backups::show))
            .answers::<ScheduledBackups>(200, "The rules, the verified files, and what is wrong.")
            .refuses(&[EVERY, OPERATOR]),
        ApiOperation::post("/store/backups", "Take the next scheduled backup now.", |route| route.to(backups::begin))
            .answers::<ScheduledBackups>(202, "It has begun.")
            .refuses(&[EVERY, OPERATOR, &[(409, &["NO_SCHEDULE"])]])
            .needs(OperatorRole::Operate),
        ApiOperation::get("/store/backup", "Show the progress of a backup.", |route| route.to(store::progress))
            .answers::<BackupProgress>(200, "The running backup, or the last one.")
            .refuses(&[EVERY, OPERATOR, &[(404, &["NO_BACKUP"])]]),
        ApiOperation::post("/store/backup", "Copy the store while it is in use.", |route| route.to(store::backup))
            .body::<BackupRequest>(json!({ "path": "/backups/red.backup" }))
            .answers::<BackupProgress>(202, "It has begun.")
            .refuses(&[EVERY, OPERATOR, BODY, &[(409, &["BACKUP_RUNNING"]), (422, &["BAD_PATH"])]]),
    ]
}
