//! Removes from the store what the messenger no longer needs: acknowledged events, old submissions, and their deliveries.

use std::time::Duration;

use actors::change::Change;
use actors::model::{Millis, Position};
use actors::ports::{ArchiveError, FeedPage, FeedReader, Fence, Ports, SubmissionsPage};

use crate::maintenance::periodic;
use crate::maintenance::periodic::{RoundError, commit};

/// Interval between two passes of the job.
const EVERY: Duration = Duration::from_secs(600);
/// Maximum number of rows that one commit removes, so that it does not delay others noticeably.
const PAGE: u32 = 1_000;

/// Runs the job every ten minutes, until the journal stops or the future is dropped. Acknowledged events are removed
/// `feed_retain` after they were written, submissions `submissions_keep` after they were accepted, and their delivery
/// records when they are as old. Each page is removed in a deferred commit, so that urgent commits go first.
pub async fn run(ports: Ports, feed_retain: Duration, submissions_keep: Duration) {
    let round = async || {
        // This process may not own the feed now, but it may again by the next round.
        let Some(fence) = ports.ownership.claim_feed() else { return Ok(()) };
        let now = ports.clock.now();
        trim_feed(&ports, fence, before(now, feed_retain)).await?;
        forget_submissions(&ports, fence, before(now, submissions_keep)).await?;
        forget_deliveries(&ports, fence, before(now, submissions_keep)).await
    };
    periodic::run("housekeeping", EVERY, round).await;
}

fn before(now: Millis, age: Duration) -> Millis {
    Millis(now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}

async fn trim_feed(ports: &Ports, fence: Fence, before: Millis) -> Result<(), RoundError> {
    let mut trimmed_to = None;
    while let Some(oldest) = oldest_to_trim(&*ports.archive.feed, before).await? {
        // If a page did not remove the oldest event, further ones would not either.
        if trimmed_to == Some(oldest) {
            break;
        }
        trimmed_to = Some(oldest);
        commit(ports, fence, Change::FeedTrimmed { before, rows_max: PAGE }).await?;
    }
    Ok(())
}

/// Returns the oldest event if it may be removed.
async fn oldest_to_trim(feed: &dyn FeedReader, before: Millis) -> Result<Option<Position>, ArchiveError> {
    let page = match feed.feed_after(Position(0), 1, 1).await? {
        FeedPage::Gone { oldest } => feed.feed_after(Position(oldest.0.saturating_sub(1)), 1, 1).await?,
        entries => entries,
    };
    let acked = feed.feed_bounds().borrow().acked;
    let FeedPage::Entries(entries) = page else { return Ok(None) };
    Ok(entries.first().filter(|entry| entry.position <= acked && entry.time < before).map(|entry| entry.position))
}

async fn forget_submissions(ports: &Ports, fence: Fence, before: Millis) -> Result<(), RoundError> {
    let mut after = None;
    loop {
        let SubmissionsPage { old, next } = ports.archive.submissions.submissions_before(before, after).await?;
        if !old.is_empty() {
            commit(ports, fence, Change::SubmissionsPruned(old)).await?;
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

/// Removes old delivery records. A delivery is younger than its submission, so the record never outlives the submission by
/// less.
async fn forget_deliveries(ports: &Ports, fence: Fence, before: Millis) -> Result<(), RoundError> {
    let (mut after, mut last) = (None, None);
    while let Some(oldest) = ports.archive.peers.old_deliveries(before, after.clone()).await? {
        let server = oldest.0.clone();
        // If a page did not remove the oldest record, further ones would not either: skip this peer.
        if last.as_ref() == Some(&oldest) {
            after = Some(server);
            continue;
        }
        commit(ports, fence, Change::DeliveriesForgotten { server, before, rows_max: PAGE }).await?;
        last = Some(oldest);
    }
    Ok(())
}
