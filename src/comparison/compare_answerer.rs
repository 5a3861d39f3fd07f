//! Answers `fernpost.compare`: a peer compares what it has of a context with what this server has.

use std::sync::Arc;

use actors::model::{Millis, ServerName};
use actors::ports::{ArchiveError, Ports};

use crate::comparison::compare_wire::{CompareAnswer, CompareCall, HexNumber, METHOD, RANGES_READ_MAX, WireReply};
use crate::comparison::compared_set::{AskedRange, ComparedRange, PduMark, RangeBound};
use crate::comparison::open_sets::{ComparisonsFull, OpenSet, OpenSets};
use crate::comparison::range_answers::{RangeAnswer, answers};
use crate::comparison::set_reader::{AskedWindow, read_set};

/// Error: a comparison is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareRefusal {
    /// The peer has another profile than `fernpost`.
    #[error("only servers of profile \"fernpost\" compare histories")]
    OtherProfile,
    /// The call has not the form of a comparison.
    #[error("the comparison cannot be read: {0}")]
    BadCall(String),
    /// The peer takes no part in the context, or there is none.
    #[error("no context of this name in which you participate")]
    NotShared,
    /// No comparison begins now.
    #[error(transparent)]
    Busy(#[from] ComparisonsFull),
    /// The set was not read in time.
    #[error("the history was not read in time; state a longer time or a shorter window")]
    Late,
    /// The store cannot be read.
    #[error("the history cannot be read now")]
    Unreadable,
}

/// Answers the comparisons of peers. Clones share the comparisons under way.
#[derive(Clone)]
pub struct CompareAnswerer {
    ports: Ports,
    sets: OpenSets,
}

impl CompareAnswerer {
    /// Returns an answerer without comparisons.
    pub fn new(ports: Ports) -> Self {
        Self { ports, sets: OpenSets::default() }
    }

    /// Returns whether a call of this method is a comparison.
    pub fn answers(method: Option<&str>) -> bool {
        method == Some(METHOD)
    }

    /// Answers a call of a peer. The ids in the answer have at most half of these bytes.
    pub async fn answer(&self, from: &ServerName, body: &[u8], answer_max: usize) -> Result<Vec<u8>, CompareRefusal> {
        if !self.ports.roster.limits_of(from).honours_to {
            return Err(CompareRefusal::OtherProfile);
        }
        let call: CompareCall =
            serde_json::from_slice(body).map_err(|error| CompareRefusal::BadCall(error.to_string()))?;
        if call.ranges.len() > RANGES_READ_MAX {
            return Err(CompareRefusal::BadCall(format!("it has more than {RANGES_READ_MAX} ranges")));
        }
        let asked = AskedWindow {
            context: call.context.parse().map_err(|_| CompareRefusal::NotShared)?,
            peer: from.clone(),
            salt: call.salt(),
            from: Millis(call.from),
            to: Millis(call.to),
        };
        let record =
            self.ports.archive.contexts.context_record(&asked.context).await.map_err(|error| unread(&error))?;
        if !record.is_some_and(|record| record.participants.contains(from)) {
            return Err(CompareRefusal::NotShared);
        }
        let set = self.set(&asked).await?;
        let ranges: Vec<AskedRange> = call.ranges.into_iter().map(AskedRange::from).collect();
        let answer = self.written(&asked, &set, &ranges, answer_max / 2).await.map_err(|error| unread(&error))?;
        Ok(serde_json::to_vec(&answer).expect("texts and numbers into memory"))
    }

    /// Returns the set of the comparison, which is read for its first call.
    async fn set(&self, asked: &AskedWindow) -> Result<Arc<OpenSet>, CompareRefusal> {
        if let Some(set) = self.sets.find(asked, self.ports.clock.now()) {
            return Ok(set);
        }
        let max = self.ports.roster.contexts().verify.sets_max;
        let place = self.sets.reserve(asked, &self.ports.clock, max)?;
        let (set, from) = read_set(&self.ports, asked).await.map_err(|error| unread(&error))?;
        Ok(place.fill(asked.clone(), OpenSet { set, from }))
    }

    async fn written(
        &self,
        asked: &AskedWindow,
        open: &OpenSet,
        ranges: &[AskedRange],
        ids_bytes: usize,
    ) -> Result<CompareAnswer, ArchiveError> {
        let limits = self.ports.roster.contexts();
        let room = (limits.verify.ranges_max as usize, limits.verify.ids_max as usize);
        let whole = ComparedRange { from: RangeBound::before(open.from), to: RangeBound::before(asked.to) };
        let whole = open.set.digest(whole);
        let mut written = Vec::with_capacity(ranges.len());
        let mut bytes = 0;
        for answer in answers(&open.set, ranges, room) {
            let reply = match answer {
                RangeAnswer::Equal => WireReply::Equal,
                RangeAnswer::Listed(_) if bytes >= ids_bytes => WireReply::Later,
                RangeAnswer::Listed(marks) => {
                    let ids = self.ids(asked, &marks).await?;
                    bytes += ids.iter().map(|(origin, id)| origin.len() + id.len() + 8).sum::<usize>();
                    WireReply::Ids(ids)
                }
                RangeAnswer::Split(parts) => WireReply::Parts(parts.into_iter().map(Into::into).collect()),
                RangeAnswer::Later => WireReply::Later,
            };
            written.push(reply);
        }
        Ok(CompareAnswer {
            method: METHOD.to_owned(),
            from: open.from.0,
            to: asked.to.0,
            count: whole.count,
            sum: HexNumber(whole.sum),
            ranges: written,
        })
    }

    async fn ids(&self, asked: &AskedWindow, marks: &[PduMark]) -> Result<Vec<(String, String)>, ArchiveError> {
        let positions = marks.iter().map(|mark| mark.position).collect();
        let ids = self.ports.archive.contexts.timeline_refs(&asked.context, positions).await?;
        Ok(ids.into_iter().map(|pdu| (pdu.origin.to_string(), pdu.id.to_string())).collect())
    }
}

fn unread(error: &ArchiveError) -> CompareRefusal {
    tracing::error!(%error, "the history that a peer compares cannot be read");
    CompareRefusal::Unreadable
}
