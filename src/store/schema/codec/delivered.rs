//! Codec of deliveries: a row holds 25 bytes for each, one after the other.

use actors::model::{DeliveredSpan, Index, Millis};

use super::value::BadRow;

/// Three numbers, and one byte that is 1 if the response was not JSON.
const SPAN_BYTES: usize = 25;

pub(crate) fn spans_to_row(spans: &[DeliveredSpan]) -> Vec<u8> {
    let mut row = Vec::with_capacity(SPAN_BYTES * spans.len());
    for DeliveredSpan { time, first, last, blind } in spans {
        for number in [time.0, first.0, last.0] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        row.push(u8::from(*blind));
    }
    row
}

pub(crate) fn spans_from_row(row: &[u8]) -> Result<Vec<DeliveredSpan>, BadRow> {
    let (spans, rest) = row.as_chunks::<SPAN_BYTES>();
    if spans.is_empty() || !rest.is_empty() {
        return Err(BadRow::new("delivered", &format!("{} bytes are no whole deliveries", row.len())));
    }
    let span = |bytes: &[u8; SPAN_BYTES]| {
        let (numbers, blind) = bytes.split_at(SPAN_BYTES - 1);
        let (numbers, _) = numbers.as_chunks::<8>();
        let [time, first, last] = [0, 1, 2].map(|place| u64::from_be_bytes(numbers[place]));
        DeliveredSpan { time: Millis(time), first: Index(first), last: Index(last), blind: blind != [0] }
    };
    Ok(spans.iter().map(span).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_survive_their_row() {
        let span =
            |n: u64| DeliveredSpan { time: Millis(u64::MAX - n), first: Index(n), last: Index(2 * n), blind: n == 2 };
        let spans: Vec<_> = (1..=3).map(span).collect();
        let row = spans_to_row(&spans);
        assert_eq!((row.len(), spans_from_row(&row).expect("readable")), (75, spans));
        for bad in [&row[..0], &row[..74]] {
            assert!(spans_from_row(bad).is_err(), "{}", bad.len());
        }
    }
}
