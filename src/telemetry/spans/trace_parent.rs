//! `traceparent` of W3C Trace Context: read strictly, and written.

use hyper::header::HeaderValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Bytes of the form of version 00, which every later version begins with.
const FORM: usize = 55;

/// Returns the trace of a header of another server, if it is valid and sampled. Anything else is no trace.
pub(super) fn read(line: &[u8]) -> Option<SpanContext> {
    let text = std::str::from_utf8(line).ok()?;
    let (form, rest) = text.split_at_checked(FORM)?;
    let mut fields = form.split('-');
    let [version, trace, span, flags] =
        [2, 32, 16, 2].map(|length| fields.next().filter(|field| is_hex(field, length)));
    let (version, flags) = (u8::from_str_radix(version?, 16).ok()?, u8::from_str_radix(flags?, 16).ok()?);
    let is_whole = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let (trace, span) = (TraceId::from_hex(trace?).ok()?, SpanId::from_hex(span?).ok()?);
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    (is_whole && context.is_valid() && context.is_sampled()).then_some(context)
}

/// Returns the header of a sampled span.
pub(super) fn written(context: &SpanContext) -> HeaderValue {
    let text = format!("00-{:032x}-{:016x}-01", context.trace_id(), context.span_id());
    HeaderValue::try_from(text).expect("hex digits and hyphens")
}

fn is_hex(field: &str, length: usize) -> bool {
    field.len() == length && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn sampled_trace_reads_back() {
        let context = read(VALID.as_bytes()).expect("the example of the specification");
        assert!(context.is_remote() && context.is_sampled());
        assert_eq!(written(&context), VALID);
        for other in [VALID.replace("-01", "-03"), VALID.replacen("00-", "01-", 1) + "-more"] {
            assert_eq!(read(other.as_bytes()).map(|read| written(&read)), Some(written(&context)), "{other}");
        }
    }

    #[test]
    fn malformed_trace_is_ignored() {
        for bad in [
            String::new(),
            VALID.replace("-01", "-00"),
            VALID.to_uppercase(),
            format!("{VALID}-more"),
            format!(" {VALID}"),
            VALID.replacen("00-", "ff-", 1),
            VALID.replacen("00-", "0-", 1),
            VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", &"0".repeat(16)),
            VALID.replace("4bf9", "4bg9"),
            VALID.replace('-', "_"),
            VALID.replacen("00-", "01-", 1) + "more",
            VALID.replace("-00f067aa0ba902b7", "00f067aa0ba902b7-"),
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read(&[0xff; FORM]), None);
    }
}
