//! Codec of context records and of a peer's transactions. Both are JSON, because they are rare or written once per
//! group.

use actors::model::{
    ContextId, ContextRecord, Digest, Head, JoinProgress, JoinStage, PduVerdict, SeenTransaction, ServerName,
};
use serde::{Deserialize, Serialize};

use super::state::{members_from_row, members_to_row};
use super::value::reference;
use super::value::{BadRow, interned, name};
use crate::store::schema::codec::columns::SeenValue;

#[derive(Serialize, Deserialize)]
struct ContextRow {
    participants: Vec<String>,
    heads: Vec<HeadRow>,
    depth: u64,
    next: u64,
    adopted: bool,
    /// (server, users)
    members: Vec<(String, u64)>,
    past: u64,
    /// (via, left, came, stage)
    join: Option<(String, u32, u64, String)>,
    /// Reason of a failed join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    join_reason: Option<String>,
}

/// (origin, id, depth, depth stated by the origin); earlier versions wrote no fourth.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum HeadRow {
    Whole(String, String, u64, u64),
    Short(String, String, u64),
}

pub(crate) fn context_to_row(record: &ContextRecord) -> Vec<u8> {
    let head = |Head { reference, depth, emitted }: &Head| {
        HeadRow::Whole(reference.origin.to_string(), reference.id.to_string(), *depth, *emitted)
    };
    let row = ContextRow {
        participants: record.participants.iter().map(ServerName::to_string).collect(),
        heads: record.heads.iter().map(head).collect(),
        depth: record.depth,
        next: record.next,
        adopted: record.adopted,
        members: members_to_row(&record.members),
        past: record.history_count,
        join: record.join.as_ref().map(join_to_row),
        join_reason: record.join.as_ref().and_then(|join| join.reason.clone()),
    };
    serde_json::to_vec(&row).expect("texts and numbers always serialize")
}

pub(crate) fn context_from_row(context: ContextId, row: &[u8]) -> Result<ContextRecord, BadRow> {
    let row: ContextRow = serde_json::from_slice(row).map_err(|error| BadRow::new("contexts", &error))?;
    let head = |row: HeadRow| {
        let (origin, id, depth, emitted) = match row {
            HeadRow::Whole(origin, id, depth, emitted) => (origin, id, depth, emitted),
            HeadRow::Short(origin, id, depth) => (origin, id, depth, depth),
        };
        Ok(Head { reference: reference("contexts", &origin, &id)?, depth, emitted })
    };
    Ok(ContextRecord {
        context,
        participants: row.participants.iter().map(|server| name("contexts", server)).collect::<Result<_, _>>()?,
        heads: row.heads.into_iter().map(head).collect::<Result<_, BadRow>>()?,
        depth: row.depth,
        next: row.next,
        adopted: row.adopted,
        members: members_from_row(row.members)?,
        history_count: row.past,
        join: row.join.map(|join| join_from_row(join, row.join_reason)).transpose()?,
    })
}

fn join_to_row(join: &JoinProgress) -> (String, u32, u64, String) {
    (join.via.to_string(), join.left, join.came, join.stage.as_str().to_owned())
}

fn join_from_row(
    (via, left, came, stage): (String, u32, u64, String),
    reason: Option<String>,
) -> Result<JoinProgress, BadRow> {
    let stages = [JoinStage::State, JoinStage::History, JoinStage::Done, JoinStage::Failed];
    let stage = stages.into_iter().find(|known| known.as_str() == stage);
    let stage = stage.ok_or_else(|| BadRow::new("contexts", &"an unknown stage of joining"))?;
    Ok(JoinProgress { via: name("contexts", &via)?, left, came, stage, reason })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictRow {
    Accepted,
    Held,
    Duplicate,
    Parked(String),
    /// (code, reason)
    Refused(String, String),
}

pub(crate) fn verdicts_to_row(verdicts: &[PduVerdict]) -> Vec<u8> {
    let row = |verdict: &PduVerdict| match verdict {
        PduVerdict::Accepted => VerdictRow::Accepted,
        PduVerdict::Held => VerdictRow::Held,
        PduVerdict::Duplicate => VerdictRow::Duplicate,
        PduVerdict::Parked { code } => VerdictRow::Parked((*code).to_owned()),
        PduVerdict::Refused { code, reason } => VerdictRow::Refused((*code).to_owned(), reason.clone()),
    };
    serde_json::to_vec(&verdicts.iter().map(row).collect::<Vec<_>>()).expect("texts always serialize")
}

pub(crate) fn seen_from_row(row: SeenValue<'_>) -> Result<SeenTransaction, BadRow> {
    let SeenValue { id, digest, verdicts } = row;
    let verdicts: Vec<VerdictRow> = serde_json::from_slice(verdicts).map_err(|error| BadRow::new("seen", &error))?;
    let verdict = |row| match row {
        VerdictRow::Accepted => PduVerdict::Accepted,
        VerdictRow::Held => PduVerdict::Held,
        VerdictRow::Duplicate => PduVerdict::Duplicate,
        VerdictRow::Parked(code) => PduVerdict::Parked { code: interned(&code) },
        VerdictRow::Refused(code, reason) => PduVerdict::Refused { code: interned(&code), reason },
    };
    let verdicts = verdicts.into_iter().map(verdict).collect();
    Ok(SeenTransaction { id: id.to_owned(), digest: Digest(*digest), verdicts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_row_round_trips() {
        let server = |text: &str| text.parse::<ServerName>().expect("valid");
        let context: ContextId = "room \"1\"".parse().expect("valid");
        let mut record = ContextRecord::new(context.clone(), vec![server("red.example"), server("[::1]:80")], true);
        let reference = reference("contexts", "red.example", "\\$1").expect("valid");
        record.heads.push(Head { reference, depth: u64::MAX, emitted: 7 });
        (record.depth, record.next) = (u64::MAX, 9);
        record.members = vec![(server("blue.example"), 2)];
        assert_eq!(context_from_row(context.clone(), &context_to_row(&record)).expect("readable"), record);
        let (via, reason) = (server("blue.example"), Some("status 401".to_owned()));
        record.join = Some(JoinProgress { via, left: 5, came: 2, stage: JoinStage::Failed, reason });
        assert_eq!(context_from_row(context.clone(), &context_to_row(&record)).expect("readable"), record);
        assert!(context_from_row(context, b"{}").is_err());
    }

    #[test]
    fn older_head_row_uses_own_depth() {
        let context: ContextId = "c".parse().expect("valid");
        let reference = reference("contexts", "red", "1").expect("valid");
        let mut record = ContextRecord::new(context.clone(), vec![], false);
        record.heads.push(Head { reference, depth: 3, emitted: 9 });
        let row = String::from_utf8(context_to_row(&record)).expect("JSON");
        let earlier = row.replace(r#"["red","1",3,9]"#, r#"["red","1",3]"#);
        assert_ne!(row, earlier);
        record.heads[0].emitted = 3;
        assert_eq!(context_from_row(context, earlier.as_bytes()).expect("readable"), record);
    }

    #[test]
    fn verdict_row_round_trips() {
        let verdicts = vec![
            PduVerdict::Accepted,
            PduVerdict::Held,
            PduVerdict::Duplicate,
            PduVerdict::Parked { code: "POISON" },
            PduVerdict::Refused { code: "BAD_PDU", reason: "no \"type\"".to_owned() },
        ];
        let seen = SeenTransaction { id: "7".to_owned(), digest: Digest([3; 16]), verdicts };
        let row = verdicts_to_row(&seen.verdicts);
        assert_eq!(seen_from_row(SeenValue { id: "7", digest: &[3; 16], verdicts: &row }).expect("readable"), seen);
        assert!(seen_from_row(SeenValue { id: "7", digest: &[3; 16], verdicts: b"[\"maybe\"]" }).is_err());
    }
}
