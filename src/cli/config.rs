//! `fernpost config`: what can be configured.

use super::{FINE, print};
use crate::settings::Settings;

/// Prints the manual.
pub(super) fn defaults() -> u8 {
    print(Settings::defaults_toml(), FINE)
}
