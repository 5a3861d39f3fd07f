//! Facts of this build, which `build.rs` passes: commit, time, features, profile and target.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

/// Version of the package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit of the source, or "unknown".
pub(crate) const COMMIT: &str = env!("FERNPOST_BUILD_COMMIT");

/// Features that are on, or "none".
pub(crate) const FEATURES: &str = env!("FERNPOST_BUILD_FEATURES");

/// `release` or `debug`.
pub(crate) const PROFILE: &str = env!("FERNPOST_BUILD_PROFILE");

/// Target of the compiler.
const TARGET: &str = env!("FERNPOST_BUILD_TARGET");

/// Seconds since 1970, or nothing.
const BUILT: &str = env!("FERNPOST_BUILD_BUILT");

/// Version and facts, one a line, as `fernpost --version` prints them after the name.
pub(crate) static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    format!("{VERSION}\ncommit: {COMMIT}\nbuilt: {} ({PROFILE})\nfeatures: {FEATURES}\ntarget: {TARGET}", built(BUILT))
});

/// Returns the time of a build as text.
fn built(seconds: &str) -> String {
    let time = seconds.parse().ok().and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    // A date beyond the year 9999 cannot be written.
    let time = time.filter(|time| time.duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() < 253_402_300_800));
    time.map_or_else(|| "unknown".to_owned(), |time| humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_time_is_rfc3339_or_unknown() {
        assert_eq!(built("1793000000"), "2026-10-26T07:33:20Z");
        for none in ["", "soon", "-1", "253402300800", "18446744073709551615"] {
            assert_eq!(built(none), "unknown", "{none}");
        }
    }
}
