//! A semaphore whose size changes while permits are held.

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A semaphore whose size can change.
pub(super) struct ResizableSemaphore {
    permits: Semaphore,
    size: Mutex<SemaphoreSize>,
}

struct SemaphoreSize {
    most: usize,
    /// Permits that are held and no longer exist: they vanish when they are released.
    excess: usize,
}

/// A permit, released when it is dropped.
pub(super) struct ResizablePermit<'a> {
    of: &'a ResizableSemaphore,
    permit: Option<SemaphorePermit<'a>>,
}

impl ResizableSemaphore {
    /// Returns a semaphore of this size, at least 1.
    pub(super) fn new(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Semaphore::new(most), size: Mutex::new(SemaphoreSize { most, excess: 0 }) }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> ResizablePermit<'_> {
        // The semaphore is never closed, so this does not fail.
        ResizablePermit { of: self, permit: self.permits.acquire().await.ok() }
    }

    /// Changes the size. Permits that are held stay valid.
    pub(super) fn resize(&self, most: usize) {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        let mut size = self.size.lock();
        if most >= size.most {
            let more = most - size.most;
            let kept = more.min(size.excess);
            size.excess -= kept;
            self.permits.add_permits(more - kept);
        } else {
            let fewer = size.most - most;
            size.excess += fewer - self.permits.forget_permits(fewer);
        }
        size.most = most;
    }
}

impl Drop for ResizablePermit<'_> {
    fn drop(&mut self) {
        let mut size = self.of.size.lock();
        if let Some(permit) = self.permit.take()
            && size.excess > 0
        {
            size.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn try_acquire(semaphore: &ResizableSemaphore) -> Option<ResizablePermit<'_>> {
        timeout(Duration::from_millis(1), semaphore.acquire()).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn size_changes_under_held_permits() {
        let semaphore = ResizableSemaphore::new(3);
        let mut held = vec![semaphore.acquire().await, semaphore.acquire().await];
        semaphore.resize(1);
        assert!(try_acquire(&semaphore).await.is_none(), "two are held, and one is left");
        held.pop();
        assert!(try_acquire(&semaphore).await.is_none(), "the permit in excess has vanished");
        held.pop();
        held.push(try_acquire(&semaphore).await.expect("one"));
        assert!(try_acquire(&semaphore).await.is_none());

        semaphore.resize(3);
        held.extend([semaphore.acquire().await, semaphore.acquire().await]);
        assert!(try_acquire(&semaphore).await.is_none());
        // Permits in excess that are wanted again are not added a second time.
        semaphore.resize(1);
        semaphore.resize(3);
        assert!(try_acquire(&semaphore).await.is_none());
        held.clear();
        let all = [semaphore.acquire().await, semaphore.acquire().await, semaphore.acquire().await];
        assert!(try_acquire(&semaphore).await.is_none());
        drop(all);
    }
}
