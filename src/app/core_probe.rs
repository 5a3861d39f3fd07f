//! Asks the core's thread for a sign of life.

use actix::ArbiterHandle;
use tokio::sync::oneshot;

/// A handle by which another thread asks whether the core's thread still runs its tasks.
pub struct CoreProbe(pub(super) ArbiterHandle);

impl CoreProbe {
    /// Returns true once the core's thread has run a task of this call, and false if it has ended. While a task blocks that thread, the
    /// call waits.
    pub async fn answers(&self) -> bool {
        let (says, said) = oneshot::channel();
        let answer = async {
            // The receiver is gone only if the caller stopped waiting.
            let _ = says.send(());
        };
        self.0.spawn(answer) && said.await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use actix::Arbiter;
    use futures_util::FutureExt;

    use super::*;

    #[actix_web::test]
    async fn blocked_core_answers_when_freed() {
        let core = Arbiter::new();
        let probe = CoreProbe(core.handle());
        assert!(probe.answers().await);
        let (free, freed) = mpsc::channel::<()>();
        let (blocks, blocked) = oneshot::channel();
        core.spawn(async move {
            let _ = blocks.send(());
            let _ = freed.recv();
        });
        blocked.await.expect("the task runs");
        let answer = probe.answers().shared();
        assert!(answer.clone().now_or_never().is_none(), "the thread is blocked");
        drop(free);
        assert!(answer.await);
        core.stop();
        core.join().expect("the thread ends");
        assert!(!probe.answers().await, "the thread has ended");
    }
}
