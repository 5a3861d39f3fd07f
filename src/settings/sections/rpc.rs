//! `[rpc]`: calls between messengers.

use serde::Deserialize;

use crate::rpc::RpcLimits;
use crate::settings::check::SettingsCheck;
use crate::settings::values::units::{DurationValue, SizeSetting};

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RpcSection {
    /// Maximum size of a call and of its answer.
    body_max: SizeSetting,
    /// Time of a call that states none.
    timeout: DurationValue,
    /// Maximum time that a call may state.
    timeout_max: DurationValue,
    /// Maximum number of calls under way.
    max: u32,
}

impl Default for RpcSection {
    fn default() -> Self {
        Self {
            body_max: SizeSetting::mib(1),
            timeout: DurationValue::secs(10),
            timeout_max: DurationValue::secs(60),
            max: 256,
        }
    }
}

impl RpcSection {
    pub(crate) fn check(self, check: &mut SettingsCheck<'_>) -> RpcLimits {
        check.at_least_one(&["rpc"], &[("body_max", self.body_max.0), ("max", self.max.into())]);
        if self.timeout.0.is_zero() {
            check.invalid(&["rpc", "timeout"], "it must be more than 0s");
        }
        if self.timeout_max.0 < self.timeout.0 {
            check.invalid(&["rpc", "timeout_max"], "it must not be below rpc.timeout");
        }
        RpcLimits {
            body_max: self.body_max.in_memory(),
            timeout: self.timeout.0,
            timeout_max: self.timeout_max.0,
            max: self.max,
        }
    }
}
