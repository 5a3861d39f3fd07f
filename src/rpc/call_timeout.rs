//! The deadline of a call: the header that states it, in both directions.

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use tokio::time::Instant;

use crate::rpc::{RpcLimits, TIMEOUT_HEADER};

/// Error: the header states no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header {TIMEOUT_HEADER} is not a whole number of ms or s above 0, such as \"1500ms\" or \"2s\"")]
pub(crate) struct BadCallTimeout;

/// Returns the time that a call may take: what its header states, up to `rpc.timeout_max`, else `rpc.timeout`.
pub(crate) fn stated(headers: &HeaderMap, limits: &RpcLimits) -> Result<Duration, BadCallTimeout> {
    let mut lines = headers.get_all(TIMEOUT_HEADER);
    let (first, second) = (lines.next(), lines.next());
    let Some(line) = first else { return Ok(limits.timeout) };
    if second.is_some() {
        return Err(BadCallTimeout);
    }
    let time = line.to_str().ok().and_then(parse).ok_or(BadCallTimeout)?;
    Ok(time.min(limits.timeout_max))
}

fn parse(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    let (digits, unit) = text.split_at(end);
    // More digits than a number has room for mean more than any limit.
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    let time = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        "h" => Duration::from_secs(number.saturating_mul(60 * 60)),
        _ => return None,
    };
    (!time.is_zero()).then_some(time)
}

/// Returns the time that is left as the header states it. It is rounded up, so that whoever is asked does not give up before the
/// asker does.
pub(crate) fn left(until: Instant) -> String {
    let left = until.saturating_duration_since(Instant::now());
    format!("{}ms", left.as_micros().div_ceil(1000).max(1))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const LIMITS: RpcLimits =
        RpcLimits { body_max: 1, timeout: Duration::from_secs(10), timeout_max: Duration::from_secs(60), max: 1 };

    fn of(lines: &[&str]) -> Result<u128, BadCallTimeout> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HeaderName::from_static(TIMEOUT_HEADER), HeaderValue::from_str(line).expect("ascii"));
        }
        stated(&headers, &LIMITS).map(|time| time.as_millis())
    }

    #[test]
    fn header_sets_time_of_call() {
        assert_eq!(of(&[]), Ok(10_000));
        for (text, millis) in [("1ms", 1), ("1500ms", 1500), ("2s", 2000), ("60s", 60_000), ("1m", 60_000)] {
            assert_eq!(of(&[text]), Ok(millis), "{text}");
        }
        for larger in ["61s", "2h", "99999999999999999999999s", "99999999999999999999999h"] {
            assert_eq!(of(&[larger]), Ok(60_000), "{larger}");
        }
    }

    #[test]
    fn other_text_is_no_time() {
        for bad in ["", "0ms", "0s", "2", "2 s", " ", "-1s", "+1s", "1.5s", "s", "2S", "2s,3s", "2d", "1s1ms", "0x1s"] {
            assert_eq!(of(&[bad]), Err(BadCallTimeout), "{bad:?}");
        }
        assert_eq!(of(&["1s", "2s"]), Err(BadCallTimeout));
    }

    #[tokio::test(start_paused = true)]
    async fn left_time_is_rounded_up() {
        let now = Instant::now();
        assert_eq!(left(now + Duration::from_micros(1500)), "2ms");
        assert_eq!(left(now + Duration::from_secs(2)), "2000ms");
        assert_eq!(left(now), "1ms", "a call that has ended is refused by whoever is asked");
    }
}
