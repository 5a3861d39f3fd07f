//! The values of a configuration.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The values of a configuration, or of one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationValues {
    /// The values, in the order of the manual.
    pub values: Vec<ValueRow>,
}

/// A value of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueRow {
    /// Full key, as in TOML.
    pub key: String,
    /// Effective value, `***` for a secret; null: the key is not set and has no default.
    pub value: Value,
    /// Place of the value: file and line, variable, `--set`, pattern, profile, or `default`.
    pub from: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn configuration_values_round_trip() {
        let values = assert_round_trip::<ConfigurationValues>(&[concat!(
            r#"{"values":[{"key":"store.cache","value":"64MiB","from":"fernpost.toml, line 9"},"#,
            r#"{"key":"messenger.token","value":null,"from":"default"}]}"#
        )]);
        assert_eq!(values.values.len(), 2);
    }
}
