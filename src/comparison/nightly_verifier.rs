//! The nightly run: verifies context after context with one of its participants each, and continues in the next night after the last
//! one. Over many nights each context is verified with all of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::model::{ContextId, ServerName};
use actors::ports::{ArchiveError, ContextSummary, StoreInspector};
use tokio::time::{Instant, sleep};

use crate::comparison::context_verifier::{ContextVerifier, VerifyOrder};
use crate::comparison::nightly_plan::{NightlyPlan, NightlyStep};
use crate::comparison::open_sets::REST_FACTOR;
use crate::comparison::verify_report::{ComparisonReport, ComparisonVerdict};
use crate::runtime::durable_file;

/// Interval of looks at the clock, the rules and the load.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Minimum pause between two contexts, so that a run never takes the whole of a gateway or of a peer.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Name of the file in the data folder that holds the context after which the next night continues.
const PLACE_FILE: &str = "verify.next";

/// The nightly run.
pub struct NightlyVerifier {
    verifier: ContextVerifier,
    inspect: Arc<dyn StoreInspector>,
    place: PathBuf,
}

impl NightlyVerifier {
    /// Returns the run of a gateway with this data folder.
    pub fn new(verifier: ContextVerifier, inspect: Arc<dyn StoreInspector>, data_dir: &Path) -> Self {
        Self { verifier, inspect, place: data_dir.join(PLACE_FILE) }
    }

    /// Runs in each night in which the configuration wants it, until the future is dropped.
    pub async fn run(self) {
        let mut plan = NightlyPlan::default();
        let ports = self.verifier.gateway().ports().clone();
        loop {
            let rules = ports.roster.contexts().verify.nightly.clone();
            match plan.next(ports.clock.now(), &rules, fastrand::f64(), self.is_busy()) {
                NightlyStep::Wait => sleep(LOOK_EVERY).await,
                NightlyStep::Verify(night) => {
                    let began = Instant::now();
                    match self.verify_next(night).await {
                        Ok(Some(result)) => plan.verified(result),
                        Ok(None) => plan.end_night(),
                        Err(error) => {
                            tracing::error!(%error, "the contexts that are to be verified cannot be read");
                            plan.end_night();
                        }
                    }
                    // The peer has read for no longer than that, and refuses the next comparison for as long.
                    sleep(PAUSE_MIN.max(began.elapsed() * REST_FACTOR)).await;
                }
                NightlyStep::End(counts) => {
                    self.verifier.metrics().note_night(ports.clock.now(), counts);
                    let (contexts, differing, failed) = (counts.contexts, counts.differing, counts.failed);
                    tracing::info!(contexts, differing, failed, "the nightly verification has ended");
                }
            }
        }
    }

    /// Returns whether other work has to come first.
    fn is_busy(&self) -> bool {
        let gateway = self.verifier.gateway();
        let is_congested = gateway.overload().is_some_and(|overload| {
            let state = *overload.subscribe().borrow();
            state.unread.is_some() || state.free.is_some()
        });
        is_congested || gateway.ports().journal.pressure().is_high()
    }

    /// Verifies the next context that has a participant to compare with; `None`: there is no further one.
    async fn verify_next(&self, night: u64) -> Result<Option<ComparisonVerdict>, ArchiveError> {
        let mut after = self.kept_place();
        loop {
            let page = self.inspect.contexts(after.take(), 1).await?;
            let row: Option<ContextSummary> = page.rows.into_iter().next();
            let context = row.as_ref().map(|row| row.record.context.clone());
            let chosen = row.and_then(|row| self.chosen(&row.record.context, row.record.participants, night));
            if let (Some(context), Some(peer)) = (context.clone(), chosen) {
                let order = VerifyOrder { context: context.clone(), peer, window: None, repairs: true };
                let verified = self.verifier.verify(order).await;
                self.keep_place(Some(context));
                return Ok(Some(verified.as_ref().map_or(ComparisonVerdict::Failed, ComparisonReport::result)));
            }
            let Some(next) = page.next.or(context) else {
                self.keep_place(None);
                return Ok(None);
            };
            after = Some(next);
        }
    }

    /// Returns the participant to compare with in this night. A hash mixes the number of the night, because a context that comes every
    /// second night would meet every second participant only.
    fn chosen(&self, context: &ContextId, participants: Vec<ServerName>, night: u64) -> Option<ServerName> {
        let roster = &self.verifier.gateway().ports().roster;
        let is_able = |server: &ServerName| roster.limits(server).is_some_and(|limits| limits.honours_to);
        let able: Vec<ServerName> = participants.into_iter().filter(is_able).collect();
        let mut hasher = DefaultHasher::new();
        (context.as_str(), night).hash(&mut hasher);
        let place = hasher.finish().checked_rem(able.len() as u64)?;
        able.into_iter().nth(usize::try_from(place).ok()?)
    }

    /// Returns the context after which to continue; without a file that can be read, the first one is next.
    fn kept_place(&self) -> Option<ContextId> {
        std::fs::read_to_string(&self.place).ok()?.parse().ok()
    }

    /// Keeps the context after which to continue. Without it the next night begins at the first context, which harms nothing.
    fn keep_place(&self, context: Option<ContextId>) {
        let kept = match context {
            Some(context) => durable_file::draft_beside(&self.place).and_then(|mut draft| {
                draft.write_all(context.as_str().as_bytes())?;
                durable_file::replace(draft, &self.place)
            }),
            None => std::fs::remove_file(&self.place),
        };
        if let Err(error) = kept.or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        }) {
            tracing::warn!(%error, "the place of the nightly verification cannot be kept");
        }
    }
}
