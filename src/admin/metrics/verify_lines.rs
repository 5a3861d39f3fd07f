//! The lines about comparisons of histories.

use crate::admin::metrics::metric_text::MetricKind::{Counter, Gauge};
use crate::admin::metrics::metric_text::MetricText;
use crate::comparison::VerifyMetrics;

/// Appends the lines.
pub(super) fn write(counts: &VerifyMetrics, text: &mut MetricText<'_>) {
    let help = "Comparisons of histories since the start, by result.";
    text.counts(("fernpost_verifications_total", help), "result", counts.results());
    let help = "Messages that comparisons found missing since the start, by the side that lacked them.";
    text.counts(("fernpost_verify_missing_total", help), "side", counts.missing().into_iter());
    let help = "Messages that comparisons found missing here and that have come, since the start.";
    text.one(Counter, "fernpost_verify_repaired_total", help, counts.repaired() as f64);
    if let Some((end, _)) = counts.last_night() {
        let help = "End of the last nightly comparison, in seconds since 1970.";
        text.one(Gauge, "fernpost_verify_nightly_end_seconds", help, (end.0 / 1000) as f64);
    }
}
