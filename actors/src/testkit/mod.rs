//! Fixtures that the tests of both crates share: a clock, a scripted transport, a configuration that tests build, and the
//! free space of a disk. The store is never faked: tests run the real one in memory.

mod clock;
mod peers;
pub mod transport;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::model::{
    BridgedMessage, GraphPosition, GroupId, Membership, MembershipSource, Pdu, PduDraft, PduRef, PlainForm, ServerName,
    SubmissionId,
};
use crate::ports::{Disk, PduText};
use crate::supervise::poll_now::poll_now;

pub use clock::TestClock;
pub use peers::{ReplaceablePeers, TestPeers};
pub use transport::ScriptedTransport;

/// Returns the value of a future that is ready at its first poll, as a read of rows in memory is.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    poll_now(pin!(future)).expect("it waits for nothing")
}

/// A disk with the free space that the test sets; without limit until then.
#[derive(Debug)]
pub struct TestDisk(AtomicU64);

impl Default for TestDisk {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl TestDisk {
    /// Sets the number of free bytes.
    pub fn leave(&self, free: u64) {
        self.0.store(free, Ordering::SeqCst);
    }
}

impl Disk for TestDisk {
    fn free(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }
}

/// Composes a PDU that tests can identify by its id; a dialect writes the real text.
pub struct PlainText;

impl PduText for PlainText {
    fn compose(&self, _: &ServerName, draft: &PduDraft, _: &GraphPosition) -> Bytes {
        Bytes::from(format!("{{\"pdu_id\":\"{}\"}}", draft.id))
    }

    fn membership(&self, _: &str, _: MembershipSource<'_>) -> Option<Membership> {
        None
    }

    fn plain(&self, _: &PduRef, pdu: &Bytes, _: &ServerName, _: GroupId) -> PlainForm {
        PlainForm::Update(pdu.clone())
    }

    fn bridged(&self, from: &ServerName, _: &BridgedMessage) -> Bytes {
        Bytes::from(format!("\"{from}\""))
    }

    fn copies_id(&self, reference: &PduRef) -> SubmissionId {
        format!("{}~{}", reference.origin, reference.id).parse().expect("a short name and a short id")
    }

    fn read(&self, _: &ServerName, _: &Bytes) -> Option<Pdu> {
        None
    }
}
