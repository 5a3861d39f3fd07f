//! The configuration of a gateway: `fernpost reload` and `fernpost config show`; and the level of its log, `fernpost log`.

mod log_level;
mod reload;
mod values;

pub use log_level::{LogLevelDetails, LogLevelRequest, PassingLevelDetails};
pub use reload::ReloadReport;
pub use values::{ConfigurationValues, ValueRow};
