//! `GET /health/live` and `/health/ready`: liveness and readiness of the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use actors::overload::OverloadMonitor;
use parking_lot::{Mutex, MutexGuard};

use crate::admin::certificates::CertificateEnds;
use crate::admin::messenger::health::PushHealth;
use crate::api::health::{FailingCheck, HealthReport, HealthWarning};
use crate::maintenance::scheduled_backup::BackupSchedule;
use crate::openapi::api_operation::ApiOperation;
use crate::openapi::refusals::EVERY;
use crate::openapi::routes::{TrailingSlash, resources};

/// The conditions that keep this process from being ready, each with its reason. Clones share one set.
///
/// A new set is ready. Code that starts something slow adds a condition first and removes it at the end, so that an
/// unfinished process never looks ready.
#[derive(Debug, Clone, Default)]
pub struct ReadinessReport(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl ReadinessReport {
    /// Sets the condition `what` ("store", "journal", "stopping") because of `why`. An existing reason is replaced.
    pub fn fail(&self, what: &'static str, why: impl Into<String>) {
        self.conditions().insert(what, why.into());
    }

    /// Clears the condition `what`.
    pub fn clear(&self, what: &'static str) {
        self.conditions().remove(what);
    }

    /// Returns whether no condition is set.
    pub fn is_ready(&self) -> bool {
        self.conditions().is_empty()
    }

    /// Returns the conditions that are set, by name.
    pub(super) fn failing(&self) -> Vec<FailingCheck> {
        let conditions = self.conditions();
        conditions.iter().map(|(what, why)| FailingCheck { what: (*what).into(), why: why.clone() }).collect()
    }

    fn conditions(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        // The lock does not poison, which is safe: each change is one call on the map, so a panic elsewhere cannot have left it
        // half done.
        self.0.lock()
    }
}

/// Sets and clears the conditions of overload. It also measures the disk periodically, because free space changes
/// without writes.
pub async fn follow(readiness: ReadinessReport, overload: Arc<OverloadMonitor>) {
    const LOOK_EVERY: Duration = Duration::from_secs(5);
    let mut state = overload.subscribe();
    loop {
        overload.measure();
        let now = *state.borrow_and_update();
        let full = overload.describe(now);
        for what in ["feed", "disk"] {
            match full.iter().find(|(name, _)| *name == what) {
                Some((_, words)) => readiness.fail(what, words.clone()),
                None => readiness.clear(what),
            }
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// The parts of a gateway whose health is shown, beside its readiness. The default has none.
#[derive(Clone, Default)]
pub struct ShownHealth {
    /// The ends of the certificates.
    pub ends: CertificateEnds,
    /// The push of the feed.
    pub push: PushHealth,
    /// The scheduled backups.
    pub backups: BackupSchedule,
}

impl ShownHealth {
    fn warnings(&self) -> Vec<HealthWarning> {
        let mut warnings = self.ends.warnings();
        warnings.extend(self.backups.problem().map(|why| HealthWarning {
            what: "backup".into(),
            subject: "store.backup".into(),
            ends: None,
            days: None,
            why: Some(why),
        }));
        warnings
    }
}

/// Adds the health routes; they need no token.
pub fn configure(config: &mut web::ServiceConfig, readiness: ReadinessReport, shown: ShownHealth) {
    config.app_data(web::Data::new(shown)).app_data(web::Data::new(readiness));
    for resource in resources(&operations(), TrailingSlash::Ignored) {
        config.service(resource);
    }
}

/// Returns the operations.
pub(super) fn operations() -> Vec<ApiOperation> {
    vec![
        ApiOperation::get("/health/live", "Ask whether the process runs.", |route| route.to(live))
            .open()
            .answers::<HealthReport>(200, "It runs.")
            .refuses(&[EVERY]),
        ApiOperation::get("/health/ready", "Ask whether the gateway serves.", |route| route.to(ready))
            .open()
            .answers::<HealthReport>(200, "It serves. Warnings may need somebody's attention.")
            .answers::<HealthReport>(503, "It does not; `failing` has the reasons.")
            .refuses(&[EVERY]),
    ]
}

/// Always responds: the response shows that the process runs.
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(HealthReport {
        status: "ok".into(),
        failing: Vec::new(),
        warnings: Vec::new(),
        messenger: None,
    })
}

async fn ready(readiness: web::Data<ReadinessReport>, shown: web::Data<ShownHealth>) -> HttpResponse {
    let (warnings, messenger) = (shown.warnings(), shown.push.shown());
    let failing: Vec<_> = readiness.failing().into_iter().chain(shown.push.failing()).collect();
    if failing.is_empty() {
        HttpResponse::Ok().json(HealthReport { status: "ok".into(), failing, warnings, messenger })
    } else {
        HttpResponse::ServiceUnavailable().json(HealthReport { status: "unready".into(), failing, warnings, messenger })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, http::StatusCode};

    use super::*;

    async fn ask(readiness: &ReadinessReport, path: &str) -> (StatusCode, String) {
        let app = init_service(App::new().configure(|config| {
            configure(config, readiness.clone(), ShownHealth::default());
        }))
        .await;
        let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        let status = answer.status();
        (status, String::from_utf8(read_body(answer).await.to_vec()).expect("text"))
    }

    #[actix_web::test]
    async fn readiness_lists_failures_until_cleared() {
        let readiness = ReadinessReport::default();
        assert_eq!(ask(&readiness, "/health/ready").await, (StatusCode::OK, r#"{"status":"ok"}"#.into()));
        readiness.fail("store", "being checked");
        readiness.fail("stopping", "a signal was received");
        readiness.fail("store", "the disk is full");
        assert_eq!(
            ask(&readiness, "/health/ready").await,
            (
                StatusCode::SERVICE_UNAVAILABLE,
                concat!(
                    r#"{"status":"unready","failing":[{"what":"stopping","why":"a signal was received"},"#,
                    r#"{"what":"store","why":"the disk is full"}]}"#
                )
                .into()
            )
        );
        readiness.clear("store");
        readiness.clear("stopping");
        assert!(readiness.is_ready());
        assert_eq!(ask(&readiness, "/health/ready/").await.0, StatusCode::OK);
    }

    #[actix_web::test]
    async fn unready_process_is_live() {
        let readiness = ReadinessReport::default();
        readiness.fail("journal", "stopped");
        assert_eq!(ask(&readiness, "/health/live").await, (StatusCode::OK, r#"{"status":"ok"}"#.into()));
    }
}
