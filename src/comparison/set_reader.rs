//! Reads what this side has in a window: page by page, without the texts.

use actors::limits::ContextLimits;
use actors::model::{ContextId, Millis, ServerName};
use actors::ports::{ArchiveError, Ports, TimelineMark};

use crate::comparison::compared_set::{CompareSalt, ComparedSet, SetCollector};

/// Number of PDUs that are read at once.
const PAGE: u32 = 1000;

/// Number of PDUs that are looked at for each one that may be compared: those outside the window are read, too.
const LOOKED_AT: u64 = 4;

/// Maximum milliseconds by which the clock of an origin may be fast: news that came longer before the window is not looked at.
const FAST_MAX: u64 = 24 * 60 * 60 * 1000;

/// Maximum milliseconds before the end of `contexts.history.keep` from which a PDU is not compared: its text may be gone already.
const KEEP_SLACK_MAX: u64 = 60 * 60 * 1000;

/// A window of a context that this side and another server have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedWindow {
    pub(crate) context: ContextId,
    /// The other server: PDUs that it may not have are left out.
    pub(crate) peer: ServerName,
    pub(crate) salt: CompareSalt,
    pub(crate) from: Millis,
    pub(crate) to: Millis,
}

/// Returns what this side has in a window, and the begin of the window: later than asked if less is kept, this server joined later, or
/// there are more PDUs than may be compared.
pub(crate) async fn read_set(ports: &Ports, asked: &AskedWindow) -> Result<(ComparedSet, Millis), ArchiveError> {
    let limits = ports.roster.contexts();
    let contexts = &ports.archive.contexts;
    let mut collector =
        SetCollector::new(asked.salt, asked.from.min(asked.to), asked.to, limits.verify.pdus_max as usize);
    collector.raise(kept_from(&limits, ports.clock.now()));
    let begin = contexts.news_begin(&asked.context).await?;
    if let Some(begin) = begin {
        collector.raise(begin);
    }
    let mut left = u64::from(limits.verify.pdus_max).saturating_mul(LOOKED_AT).max(1);
    let mut below = None;
    let mut oldest_news = None;
    loop {
        let page = contexts.timeline_marks(&asked.context, &asked.peer, below, PAGE).await?;
        let Some(last) = page.last().map(|mark| mark.position) else { break };
        let is_last = page.len() < PAGE as usize;
        below = Some(last);
        for mark in &page {
            if is_news(mark) {
                oldest_news = Some(mark.since);
                if mark.since.0.saturating_add(FAST_MAX) < collector.from().0 {
                    // What is left of the news came even earlier. History has positions of its own.
                    below = Some(1);
                    break;
                }
            }
            collector.add(mark);
        }
        left = left.saturating_sub(page.len() as u64);
        if left == 0 && !is_last {
            // The rest came before the oldest news that was looked at, so its origins state earlier times.
            collector.raise(oldest_news.unwrap_or(asked.to));
            break;
        }
        if is_last && below == Some(last) {
            break;
        }
    }
    Ok(collector.finish())
}

const fn is_news(mark: &TimelineMark) -> bool {
    mark.position >= 1
}

/// Returns the time from which all texts are kept.
fn kept_from(limits: &ContextLimits, now: Millis) -> Millis {
    let Some(keep) = limits.history.keep else { return Millis(0) };
    let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
    Millis(now.0.saturating_sub(keep).saturating_add((keep / 4).min(KEEP_SLACK_MAX)))
}
