//! The signing keys of this server: `fernpost keys`.

use serde::{Deserialize, Serialize};

use super::FixedText;

/// All signing keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The keys, in the order in which they sign.
    pub keys: Vec<KeyRow>,
}

/// A signing key, without its secret half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Id of the key within this server.
    pub id: String,
    /// Public half, in base64.
    pub public: String,
    /// Time at which it was made.
    pub created: String,
    /// `active`: it signs; `next`: it is published and signs later; `old`: it is published only.
    pub state: FixedText,
    /// Time from which it signs.
    pub signs_from: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::golden::assert_round_trip;

    #[test]
    fn key_list_round_trips() {
        let list = assert_round_trip::<KeyList>(&[concat!(
            r#"{"keys":[{"id":"1","public":"JrQLj5P","created":"2026-11-29T18:00:00.000Z","state":"active","#,
            r#""signs_from":"2026-11-29T18:00:00.000Z"}]}"#
        )]);
        assert_eq!(list.keys[0].state, "active");
    }
}
