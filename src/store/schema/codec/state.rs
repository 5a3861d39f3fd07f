//! Codec of state rows: candidates of a key, and missing `prev_state` links.

use actors::model::{Membership, MissingPrevState, Pdu, PduRef, PrevStateLink, ServerName, StateEntry, StateKey};
use serde::{Deserialize, Serialize};

use super::value::reference;
use super::value::{BadRow, name};
use crate::store::schema::codec::columns::{HolderValue, PieceValue};

const SOUND: u8 = 0;
const GIVEN_UP: u8 = 1;
const FOREIGN: u8 = 2;

/// Encodes the columns of a candidate.
pub(crate) fn piece_to_row(piece: &StateEntry) -> PieceValue<'_> {
    let (origin, id) = piece.prev.as_ref().map_or(("", ""), |prev| (prev.origin.as_str(), prev.id.as_str()));
    let bond = match piece.bond {
        PrevStateLink::Sound => SOUND,
        PrevStateLink::GivenUp => GIVEN_UP,
        PrevStateLink::Foreign => FOREIGN,
    };
    let (server, joins) = piece.member.as_ref().map_or(("", false), |member| (member.server.as_str(), member.joins));
    PieceValue { power: piece.power, prev_origin: origin, prev_id: id, link: bond, server, joins }
}

pub(crate) fn piece_from_row(reference: PduRef, row: PieceValue<'_>) -> Result<StateEntry, BadRow> {
    let PieceValue { power, prev_origin, prev_id, link, server, joins } = row;
    let prev = (!prev_id.is_empty()).then(|| self::reference("state_pdus", prev_origin, prev_id)).transpose()?;
    let server = (!server.is_empty()).then(|| name("state_pdus", server)).transpose()?;
    let member = server.map(|server| Membership { server, joins });
    let bond = match link {
        SOUND => PrevStateLink::Sound,
        GIVEN_UP => PrevStateLink::GivenUp,
        FOREIGN => PrevStateLink::Foreign,
        other => return Err(BadRow::new("state_pdus", &format!("bond {other}"))),
    };
    Ok(StateEntry { reference, power, prev, bond, member })
}

/// Encodes the current state PDU of a key: its identity and the columns of a candidate.
pub(crate) fn holder_to_row(piece: &StateEntry) -> HolderValue<'_> {
    let PieceValue { power, prev_origin, prev_id, link, server, joins } = piece_to_row(piece);
    let (origin, id) = (piece.reference.origin.as_str(), piece.reference.id.as_str());
    HolderValue { origin, id, power, prev_origin, prev_id, link, server, joins }
}

pub(crate) fn holder_from_row(row: HolderValue<'_>) -> Result<StateEntry, BadRow> {
    let HolderValue { origin, id, power, prev_origin, prev_id, link, server, joins } = row;
    piece_from_row(reference("state", origin, id)?, PieceValue { power, prev_origin, prev_id, link, server, joins })
}

/// The state that a held PDU sets.
#[derive(Serialize, Deserialize)]
struct SlotRow {
    kind: String,
    key: String,
    power: i64,
    /// (origin, id)
    prev: Option<(String, String)>,
    /// (server, joins)
    member: Option<(String, bool)>,
}

/// Encodes the state that a PDU sets; empty if it is not state.
pub(crate) fn slot_to_row(pdu: &Pdu) -> Vec<u8> {
    let row = pdu.state.as_ref().map(|slot| SlotRow {
        kind: pdu.kind.to_string(),
        key: slot.key.clone(),
        power: slot.power_level,
        prev: slot.prev.as_ref().map(|prev| (prev.origin.to_string(), prev.id.to_string())),
        member: slot.member.as_ref().map(|member| (member.server.to_string(), member.joins)),
    });
    row.map_or_else(Vec::new, |row| serde_json::to_vec(&row).expect("texts and numbers always serialize"))
}

pub(crate) fn slot_from_row(reference: &PduRef, row: &[u8]) -> Result<Option<(StateKey, StateEntry)>, BadRow> {
    if row.is_empty() {
        return Ok(None);
    }
    let row: SlotRow = serde_json::from_slice(row).map_err(|error| BadRow::new("held", &error))?;
    let prev = row.prev.map(|(origin, id)| self::reference("held", &origin, &id)).transpose()?;
    let member = |(server, joins): (String, bool)| Ok(Membership { server: name("held", &server)?, joins });
    let member = row.member.map(member).transpose()?;
    let (reference, bond) = (reference.clone(), PrevStateLink::Sound);
    let piece = StateEntry { reference, power: row.power, prev, bond, member };
    Ok(Some(((row.kind.into(), row.key), piece)))
}

/// Encodes the keys of a missing `prev_state` link.
pub(crate) fn keys_to_row(link: &MissingPrevState) -> Vec<u8> {
    let keys: Vec<(&str, &str)> = link.keys.iter().map(|(kind, key)| (&**kind, key.as_str())).collect();
    serde_json::to_vec(&keys).expect("texts always serialize")
}

pub(crate) fn keys_from_row(row: &[u8]) -> Result<Vec<StateKey>, BadRow> {
    let keys: Vec<(String, String)> =
        serde_json::from_slice(row).map_err(|error| BadRow::new("state_links", &error))?;
    Ok(keys.into_iter().map(|(kind, key)| (kind.into(), key)).collect())
}

/// Encodes the number of joined users per server, as it is stored in the context's row.
pub(crate) fn members_to_row(members: &[(ServerName, u64)]) -> Vec<(String, u64)> {
    members.iter().map(|(server, count)| (server.to_string(), *count)).collect()
}

pub(crate) fn members_from_row(row: Vec<(String, u64)>) -> Result<Vec<(ServerName, u64)>, BadRow> {
    row.into_iter().map(|(server, count)| Ok((name("contexts", &server)?, count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdu(id: &str) -> PduRef {
        reference("state_pdus", "red.example", id).expect("valid")
    }

    #[test]
    fn state_entry_row_round_trips() {
        let member = |joins| Some(Membership { server: "blue.example:80".parse().expect("valid"), joins });
        for (prev, bond, member) in [
            (None, PrevStateLink::Sound, None),
            (Some(pdu("0")), PrevStateLink::GivenUp, member(true)),
            (Some(pdu("\u{e9} /")), PrevStateLink::Foreign, member(false)),
        ] {
            let piece = StateEntry { reference: pdu("1"), power: i64::MIN, prev, bond, member };
            assert_eq!(piece_from_row(pdu("1"), piece_to_row(&piece)).expect("readable"), piece);
            assert_eq!(holder_from_row(holder_to_row(&piece)).expect("readable"), piece);
        }
        let unknown = PieceValue { power: 0, prev_origin: "", prev_id: "", link: 9, server: "", joins: false };
        assert!(piece_from_row(pdu("1"), unknown).is_err());
    }
}
