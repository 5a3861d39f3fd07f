//! The configuration of a gateway: `fernpost reload` and `fernpost config show`.

mod reload;
mod values;

pub use reload::ReloadReport;
pub use values::{ConfigurationValues, ValueRow};
