//! Reads the keys of a PDU that set state.

use actors::model::{PduId, PduRef, ServerName, StateSlot};
use serde_json::value::RawValue;

use super::fields::{FieldError, PduFields, flaw};
use crate::json::reader;

/// Keys that only state PDUs have.
pub(super) const STATE_KEYS: [&str; 4] = ["state_key", "power_level", "prev_state_id", "prev_state_origin"];

/// The state that a PDU sets.
pub(super) struct StateFields {
    pub(super) slot: StateSlot,
    /// True if a power level was given. An absent one counts as 0 and stays absent, because the PDU was signed without
    /// it.
    pub(super) has_power: bool,
}

/// Reads `is_state`. Absent means false; stored rows of old servers contain 0 and 1.
pub(super) fn is_state(fields: &PduFields<'_>) -> Result<bool, FieldError> {
    match fields.get("is_state").map(RawValue::get) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(flaw("BAD_IS_STATE", "is_state is neither true nor false")),
    }
}

/// Reads the state that a PDU with `is_state` sets.
pub(super) fn read(fields: &PduFields<'_>) -> Result<StateFields, FieldError> {
    let key = fields.short_text("state_key", "BAD_STATE_KEY")?.into_owned();
    let power = fields.get("power_level").map(power).transpose()?;
    let id = fields.name::<PduId>("prev_state_id", "BAD_PREV_STATE")?;
    let origin = fields.name::<ServerName>("prev_state_origin", "BAD_PREV_STATE")?;
    let prev = match (origin, id) {
        (Some(origin), Some(id)) => Some(PduRef { origin, id }),
        (None, None) => None,
        _ => return Err(flaw("BAD_PREV_STATE", "prev_state_id and prev_state_origin come together or not at all")),
    };
    let slot = StateSlot { key, power_level: power.unwrap_or(0), prev, member: None };
    Ok(StateFields { slot, has_power: power.is_some() })
}

/// Parses an integer or the text of one: rows of old servers contain it as text.
fn power(value: &RawValue) -> Result<i64, FieldError> {
    let written = reader::text(value).unwrap_or_else(|| value.get().into());
    let digits = written.strip_prefix('-').unwrap_or(&written);
    let plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let level = written.parse().ok().filter(|_| plain);
    level.ok_or_else(|| flaw("BAD_POWER_LEVEL", "power_level is not an integer of 64 bits"))
}
