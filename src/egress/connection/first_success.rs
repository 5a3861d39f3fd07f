//! Attempts that overlap: each begins a little after the one before it, and the first success ends all (RFC 8305).

use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, sleep_until};

/// Delay after which the next attempt begins although none has ended (RFC 8305, section 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Makes an attempt for each of these, until one succeeds. Each failure brings the next attempt forward. All failures are returned,
/// in the order in which they came.
pub(super) async fn first_success<I, T, E, F>(items: Vec<I>, attempt: impl Fn(I) -> F) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = items.into_iter();
    let mut running = FuturesUnordered::new();
    running.extend(waiting.next().map(&attempt));
    let mut next_at = Instant::now() + NEXT_AFTER;
    let mut failures = Vec::new();
    loop {
        let (has_waiting, is_running) = (waiting.len() > 0, !running.is_empty());
        tokio::select! {
            Some(ended) = running.next(), if is_running => match ended {
                Ok(success) => return Ok(success),
                Err(failure) => failures.push(failure),
            },
            () = sleep_until(next_at), if has_waiting => {}
            else => return Err(failures),
        }
        running.extend(waiting.next().map(&attempt));
        next_at = Instant::now() + NEXT_AFTER;
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::time::sleep;

    use super::*;

    /// Makes attempts that take this many milliseconds and then succeed or fail. Returns the outcome, and when each began.
    async fn raced(attempts: &[(u64, bool)]) -> (Result<usize, Vec<usize>>, u128, Vec<u128>) {
        let start = Instant::now();
        let began = Mutex::new(Vec::new());
        let outcome = first_success((0..attempts.len()).collect(), |n: usize| {
            began.lock().push(start.elapsed().as_millis());
            let (millis, succeeds) = attempts[n];
            async move {
                sleep(Duration::from_millis(millis)).await;
                if succeeds { Ok(n) } else { Err(n) }
            }
        })
        .await;
        (outcome, start.elapsed().as_millis(), began.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_attempt_is_overtaken() {
        assert_eq!(raced(&[(100, true), (1, true)]).await, (Ok(0), 100, vec![0]), "no second attempt");
        assert_eq!(raced(&[(10_000, true), (30, true)]).await, (Ok(1), 280, vec![0, 250]));
        assert_eq!(raced(&[(270, true), (30, true)]).await, (Ok(0), 270, vec![0, 250]));
        let silent = [(10_000, false), (10_000, false), (10, true)];
        assert_eq!(raced(&silent).await, (Ok(2), 510, vec![0, 250, 500]));
    }

    #[tokio::test(start_paused = true)]
    async fn failure_brings_next_attempt_forward() {
        assert_eq!(raced(&[(5, false), (5, false), (5, true)]).await, (Ok(2), 15, vec![0, 5, 10]));
        assert_eq!(raced(&[(5, false), (5, false)]).await, (Err(vec![0, 1]), 10, vec![0, 5]));
        assert_eq!(raced(&[(300, false), (10, false)]).await, (Err(vec![1, 0]), 300, vec![0, 250]));
        assert_eq!(raced(&[]).await, (Err(vec![]), 0, vec![]));
    }
}
