//! The store reader under observation: it reports each lookup and each load of a context.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use actors::model::{ContextId, ContextRecord, PduRef};
use actors::ports::{ArchiveError, ContextReader, ContextSnapshot, QuarantinedPduRow, Task};
use fixtures::read_hooks::ReadHooks;
use tokio::sync::watch;

/// A context whose loads wait while `is_slow` is true.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) context: ContextId,
    pub(crate) is_slow: watch::Receiver<bool>,
}

/// Lookups of a PDU with this id wait while the flag is true.
#[derive(Clone)]
pub(crate) struct HeldLookUps {
    pub(crate) id: &'static str,
    pub(crate) is_held: watch::Receiver<bool>,
}

type Seen = dyn Fn(&[PduRef]) + Send + Sync;

/// The observed store reader.
pub(crate) struct Watched {
    seen: Box<Seen>,
    loads: Arc<Mutex<Vec<ContextId>>>,
    strangers_held: Arc<AtomicBool>,
    records_held: Arc<AtomicBool>,
    slow: Option<Slow>,
    held_look_ups: Option<HeldLookUps>,
}

impl Watched {
    /// Calls `seen` before each lookup.
    pub(crate) fn new(seen: impl Fn(&[PduRef]) + Send + Sync + 'static) -> Self {
        Self {
            seen: Box::new(seen),
            loads: Arc::default(),
            strangers_held: Arc::default(),
            records_held: Arc::default(),
            slow: None,
            held_look_ups: None,
        }
    }

    /// Records each load of a context.
    pub(crate) fn noting(self, loads: Arc<Mutex<Vec<ContextId>>>) -> Self {
        Self { loads, ..self }
    }

    /// Makes every load of this context wait.
    pub(crate) fn with_slow(self, slow: Slow) -> Self {
        Self { slow: Some(slow), ..self }
    }

    /// While this is set, no read of a context's record completes.
    pub(crate) fn holding_records(self, records_held: Arc<AtomicBool>) -> Self {
        Self { records_held, ..self }
    }

    /// Makes lookups of this PDU wait.
    pub(crate) fn holding_look_ups(self, held_look_ups: HeldLookUps) -> Self {
        Self { held_look_ups: Some(held_look_ups), ..self }
    }

    /// While this is set, no read of quarantined PDUs completes.
    pub(crate) fn holding_strangers(self, strangers_held: Arc<AtomicBool>) -> Self {
        Self { strangers_held, ..self }
    }
}

impl ReadHooks for Watched {
    fn context(
        &self,
        store: &dyn ContextReader,
        context: &ContextId,
    ) -> Task<Result<Option<ContextSnapshot>, ArchiveError>> {
        self.loads.lock().unwrap().push(context.clone());
        let load = store.context(context);
        let Some(mut slow) = self.slow.clone().filter(|slow| slow.context == *context) else { return load };
        Box::pin(async move {
            // The sender of the flag may have been dropped.
            let _ = slow.is_slow.wait_for(|is_slow| !is_slow).await;
            load.await
        })
    }

    fn before_look_up(&self, arriving: &[PduRef]) -> Option<Task<()>> {
        (self.seen)(arriving);
        let HeldLookUps { id, mut is_held } = self.held_look_ups.clone()?;
        let waits = *is_held.borrow() && arriving.iter().any(|reference| reference.id.as_str() == id);
        waits.then(|| -> Task<()> {
            Box::pin(async move {
                // The test may have ended.
                let _ = is_held.wait_for(|is_held| !is_held).await;
            })
        })
    }

    fn context_record(
        &self,
        record: Task<Result<Option<ContextRecord>, ArchiveError>>,
    ) -> Task<Result<Option<ContextRecord>, ArchiveError>> {
        if self.records_held.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { record }
    }

    fn quarantined_pdus(
        &self,
        page: Task<Result<Vec<QuarantinedPduRow>, ArchiveError>>,
    ) -> Task<Result<Vec<QuarantinedPduRow>, ArchiveError>> {
        if self.strangers_held.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { page }
    }
}
