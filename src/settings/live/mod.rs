//! Settings that are replaced while the gateway runs: which keys are reloadable, what differs, and the settings in use.

mod live_settings;
mod loaded;
pub(super) mod reloadable;
pub(super) mod written;

pub use live_settings::LiveSettings;
pub use loaded::LoadedSettings;
pub use written::{SettingsDiff, WrittenValues};
