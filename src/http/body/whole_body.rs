//! A whole body in one buffer, which has the announced size from the beginning.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;

/// Maximum bytes that are reserved before any of them has arrived: who announces much and sends nothing takes no memory for it.
const RESERVED_MAX: usize = 1 << 20;

/// Collects a body. Its updates are slices of the buffer and are kept for some time, so the buffer has no room to spare, and a small
/// body keeps no block of the connection in memory.
pub(crate) struct WholeBody {
    payload: Payload,
    buffer: BytesMut,
    /// Length that the headers announce; 0 if they do not.
    announced: usize,
    max: usize,
}

impl WholeBody {
    /// Returns the collection of a body of at most `max` bytes. A larger one ends it with [`PayloadError::Overflow`].
    pub(crate) fn new(payload: Payload, announced: Option<u64>, max: usize) -> Self {
        let announced = announced.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
        Self { payload, buffer: BytesMut::new(), announced, max }
    }
}

impl Future for WholeBody {
    type Output = Result<Bytes, PayloadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { payload, buffer, announced, max } = &mut *self;
        if *announced > *max {
            return Poll::Ready(Err(PayloadError::Overflow));
        }
        while let Some(part) = ready!(Pin::new(&mut *payload).poll_next(cx)) {
            let part = part?;
            if buffer.len() + part.len() > *max {
                return Poll::Ready(Err(PayloadError::Overflow));
            }
            let needed = buffer.len() + part.len();
            if needed > buffer.capacity() {
                // It is replaced, because a buffer that grows by itself rounds up.
                let room = match buffer.capacity() {
                    0 => (*announced).min(RESERVED_MAX),
                    _ if *announced >= needed => *announced,
                    before => 2 * before,
                };
                let before = std::mem::replace(buffer, BytesMut::with_capacity(room.max(needed).min(*max)));
                buffer.extend_from_slice(&before);
            }
            buffer.extend_from_slice(&part);
        }
        Poll::Ready(Ok(std::mem::take(buffer).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Collects a body of these parts, of at most `max` bytes, and returns it with the room that its buffer has to spare.
    async fn collected(announced: Option<u64>, max: usize, parts: &[&str]) -> Result<(String, usize), PayloadError> {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::copy_from_slice(part.as_bytes()))).collect();
        let parts: Pin<Box<dyn Stream<Item = _>>> = Box::pin(futures_util::stream::iter(parts));
        let payload = Payload::Stream { payload: parts };
        let body = WholeBody::new(payload, announced, max).await?;
        let text = String::from_utf8(body.to_vec()).expect("text");
        // Bytes without a buffer are in nobody's hands.
        let spare = body.try_into_mut().map_or(0, |buffer| buffer.capacity() - buffer.len());
        Ok((text, spare))
    }

    #[actix_web::test]
    async fn announced_body_has_exact_buffer() {
        assert_eq!(collected(Some(7), 10, &["abc", "", "defg"]).await.expect("fits"), ("abcdefg".to_owned(), 0));
        assert_eq!(collected(None, 10, &["abc"]).await.expect("fits"), ("abc".to_owned(), 0));
        assert_eq!(collected(Some(0), 10, &[]).await.expect("fits"), (String::new(), 0));
        let (longer, _room) = collected(Some(2), 10, &["abc", "defg"]).await.expect("the transport counts, not we");
        assert_eq!(longer, "abcdefg");
        let part = "m".repeat(RESERVED_MAX / 2 + 1);
        let (long, spare) = collected(Some(4 * part.len() as u64), 1 << 23, &[&*part; 4]).await.expect("fits");
        assert_eq!((long.len(), spare), (4 * part.len(), 0));
    }

    #[actix_web::test]
    async fn large_body_is_refused() {
        for (announced, parts) in [(Some(11), &["a"][..]), (None, &["abcdef", "ghijk"]), (Some(3), &["abcdefghijk"])] {
            let refused = collected(announced, 10, parts).await.expect_err("too large");
            assert!(matches!(refused, PayloadError::Overflow), "{announced:?}");
        }
        assert_eq!(collected(None, 10, &["abcdef", "ghij"]).await.expect("fits").0.len(), 10);
    }
}
