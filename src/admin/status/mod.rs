//! `/admin/v1/status`: the gateway on one screen, with its problems and what to do about each.

pub(super) mod flow;
pub mod status_sources;

use std::collections::HashSet;

use actix_web::{HttpResponse, web};
use actors::gateway::GatewayMetrics;
use actors::model::{Millis, PeerQueueSize, PeerState, PeerStatus, ServerName, SuspendReason};

use crate::admin::AdminApi;
use crate::admin::status::status_sources::StatusSources;
use crate::api::health::FailingCheck;
use crate::api::health::status::{CertificateRow, StatusProblem, StatusReport};
use crate::comparison::NightlyCounts;
use crate::http::error::ApiError;
use crate::http::responses::rfc3339;
use crate::messenger::peers::statuses;
use crate::runtime::build_facts;
use crate::tls::own_certificate::CertificateEnd;

/// Maximum number of peers that are asked for their problems: an idle one has to be read from the store.
const PEERS_ASKED: usize = 1_000;

/// Maximum number of peers whose problem is listed.
const PEER_PROBLEMS: usize = 20;

/// Age of the oldest pending item from which a peer that fails is a problem: shorter outages end by themselves.
const LONG_OUTAGE: u64 = 5 * 60 * 1000;

/// Returns the status of the gateway.
pub(super) async fn get(api: web::Data<AdminApi>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(report(&api).await))
}

/// Collects the status of the gateway.
pub(super) async fn report(api: &AdminApi) -> StatusReport {
    let StatusSources { started, listeners, readiness, ends, push, backups } = &api.status;
    let ports = api.gateway.ports();
    let failing: Vec<FailingCheck> = readiness.failing().into_iter().chain(push.failing()).collect();
    let mut problems: Vec<StatusProblem> = failing.iter().map(failing_problem).collect();
    problems.extend(ends.warnings().into_iter().map(|warning| {
        let state = if warning.days.is_some_and(|days| days < 0) { "has ended" } else { "ends soon" };
        StatusProblem {
            what: "certificate".to_owned(),
            why: format!("{} {state}: {}", warning.subject, warning.ends.unwrap_or_default()),
            fix: "renew its files; they are taken over when they change".to_owned(),
        }
    }));
    problems.extend(backups.problem().map(|why| StatusProblem {
        what: "backup".to_owned(),
        why,
        fix: "`fernpost store backups` shows the schedule and its files; with --now it takes one".to_owned(),
    }));
    problems.extend(api.verifier.as_ref().and_then(|verifier| {
        let (_, counts) = verifier.metrics().last_night()?;
        night_problem(counts)
    }));
    let now = ports.clock.now();
    let asked = statuses(&api.gateway, asked_peers(api), true).await;
    let mut peers = asked.into_iter().filter_map(|(_, status)| peer_problem(&status.ok()?, now));
    problems.extend(peers.by_ref().take(PEER_PROBLEMS));
    let more_problems = peers.next().is_some();
    let GatewayMetrics { peers, outbox_items, .. } = api.gateway.metrics();
    StatusReport {
        server: ports.us.to_string(),
        version: build_facts::VERSION.into(),
        started: rfc3339(*started),
        ready: failing.is_empty(),
        listeners: listeners.clone(),
        peers: peers.into_iter().map(|(state, count)| (state.into(), count)).collect(),
        backlog: outbox_items,
        unread: ports.archive.feed.feed_bounds().borrow().unread(),
        disk_free: ports.disk.free(),
        disk_min_free: ports.roster.overload().min_free,
        certificates: ends.ends().iter().map(certificate_row).collect(),
        problems,
        more_problems,
    }
}

/// Returns the peers whose problems are looked for: those in memory that are not served first, then the others.
fn asked_peers(api: &AdminApi) -> Vec<ServerName> {
    let troubled = |queue: PeerQueueSize| matches!(queue.state, "suspended" | "backing_off").then_some(queue.server);
    let first: Vec<ServerName> = api.gateway.peer_queues().into_iter().filter_map(troubled).take(PEERS_ASKED).collect();
    let known: HashSet<&ServerName> = first.iter().collect();
    let others: Vec<ServerName> = api
        .gateway
        .peers()
        .into_iter()
        .filter(|server| !known.contains(server))
        .take(PEERS_ASKED - first.len())
        .collect();
    first.into_iter().chain(others).collect()
}

fn certificate_row(end: &CertificateEnd) -> CertificateRow {
    CertificateRow { subject: end.subject.into(), ends: rfc3339(end.ends), days: end.days }
}

fn failing_problem(failing: &FailingCheck) -> StatusProblem {
    let fix = match &*failing.what {
        "disk" => "free space on the disk of server.data_dir, or lower store.min_free",
        "feed" => "let the messenger read and acknowledge its events",
        "push_stuck" => "repair the messenger, or take the event out: `fernpost quarantine list --messenger`",
        "stopping" => "wait, or start the gateway again",
        _ => "see the log of the gateway",
    };
    StatusProblem { what: failing.what.to_string(), why: failing.why.clone(), fix: fix.to_owned() }
}

/// Returns the problem that the last nightly verification found; `None`: all contexts that it compared were equal.
fn night_problem(NightlyCounts { contexts, differing, failed }: NightlyCounts) -> Option<StatusProblem> {
    (differing > 0 || failed > 0).then(|| StatusProblem {
        what: "verification".to_owned(),
        why: format!(
            "the last night's verification found differences in {differing} of {contexts} contexts, and could not compare {failed}"
        ),
        fix: "the log names them; `fernpost context verify CONTEXT --with PEER` compares one again and fetches what is missing"
            .to_owned(),
    })
}

/// Returns the problem of a peer to which items do not get; `None` if it has none.
fn peer_problem(peer: &PeerStatus, now: Millis) -> Option<StatusProblem> {
    let name = &peer.server;
    let waiting = format!("{} items wait", peer.backlog);
    let age = peer.oldest_unacknowledged.map_or(0, |oldest| now.0.saturating_sub(oldest.0));
    let error = peer.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let (why, fix) = match peer.state {
        PeerState::Suspended(SuspendReason::Admin) => {
            ("it is suspended by an operator".to_owned(), format!("`fernpost peer resume {name}` sends again"))
        }
        PeerState::Suspended(SuspendReason::NotListed | SuspendReason::Denied) => (
            "the configuration does not allow it any more".to_owned(),
            "list it again, or drop its items with `fernpost message drop`".to_owned(),
        ),
        PeerState::Suspended(SuspendReason::AheadOfUs) => (
            "it expects a number above ours".to_owned(),
            format!("compare `fernpost peer show {name}` on both sides, then `fernpost peer renumber {name}`"),
        ),
        PeerState::Suspended(reason) => (
            format!("it is suspended ({}){error}", reason.as_str()),
            format!("`fernpost peer explain {name}`, then `fernpost peer resume {name}`"),
        ),
        PeerState::BackingOff if age >= LONG_OUTAGE => {
            (format!("{} attempts in a row failed{error}", peer.failures), format!("`fernpost peer explain {name}`"))
        }
        PeerState::Idle | PeerState::Sending | PeerState::Waiting | PeerState::BackingOff => return None,
    };
    Some(StatusProblem { what: name.to_string(), why: format!("{why}; {waiting}"), fix })
}

#[cfg(test)]
mod tests {
    use actors::model::{Index, Seq};

    use super::*;

    fn peer(state: PeerState, oldest: u64) -> PeerStatus {
        PeerStatus {
            server: "blue".parse().expect("a name"),
            state,
            shut: None,
            since: Millis(1),
            backlog: 3,
            acked: Index(0),
            oldest_unacknowledged: Some(Millis(oldest)),
            next_attempt: None,
            last_success: None,
            failures: 4,
            last_error: Some("no route".into()),
            last_code: None,
            expected_seq: Seq(1),
            next_seq: None,
            backlog_bytes: 9,
            settled: vec![],
            open: None,
            relayed: None,
        }
    }

    #[test]
    fn long_outage_is_a_problem() {
        let now = Millis(10 + LONG_OUTAGE);
        assert_eq!(peer_problem(&peer(PeerState::BackingOff, 11), now), None);
        let problem = peer_problem(&peer(PeerState::BackingOff, 10), now).expect("it lasts five minutes");
        assert_eq!(problem.why, "4 attempts in a row failed: no route; 3 items wait");
        assert_eq!(problem.fix, "`fernpost peer explain blue`");
    }

    #[test]
    fn night_with_differences_is_a_problem() {
        let night = |differing, failed| night_problem(NightlyCounts { contexts: 9, differing, failed });
        assert_eq!(night(0, 0), None);
        let why = "the last night's verification found differences in 2 of 9 contexts, and could not compare 1";
        assert_eq!(night(2, 1).expect("a problem").why, why);
        assert!(night(0, 1).is_some());
    }

    #[test]
    fn suspended_peer_names_its_remedy() {
        let fix = |reason| peer_problem(&peer(PeerState::Suspended(reason), 0), Millis(1)).expect("a problem").fix;
        assert_eq!(fix(SuspendReason::Admin), "`fernpost peer resume blue` sends again");
        assert!(fix(SuspendReason::AheadOfUs).ends_with("`fernpost peer renumber blue`"));
        assert!(fix(SuspendReason::Unreachable).starts_with("`fernpost peer explain blue`, then"));
    }
}
