//! The memory of the writer between groups.

use crate::store::delivery_clock::DeliveryClock;
use crate::store::engine::engine_writer::EngineWriter;
use crate::store::write::context::latest_pdu_ids::LatestPduIds;
use crate::store::write::feed::FeedEnds;
use crate::store::write::peer_tails::PeerTails;
use crate::store::write::writer_context::WaitingOrder;

/// The writer's cache between groups; it lets rows be appended without reading. It is correct only as long as every
/// group commits: after one that does not, the journal has stopped and the cache is dropped.
#[derive(Debug)]
pub(crate) struct WriterCache {
    /// Ends of the feed.
    pub(crate) feed: FeedEnds,
    /// Number of the next item.
    pub(crate) next_item: u64,
    /// Order of the PDUs that wait.
    pub(crate) order: WaitingOrder,
    /// Clock that gives delivery times.
    pub(crate) deliveries: DeliveryClock,
    /// Greatest ids of PDUs.
    pub(crate) latest_pdu_ids: LatestPduIds,
    /// Ends of the tables of each server.
    pub(crate) tails: PeerTails,
}

/// The state of the writer between groups.
#[derive(Debug)]
pub(crate) struct WriterMemory {
    pub(crate) cache: WriterCache,
    pub(crate) engine: EngineWriter,
}
