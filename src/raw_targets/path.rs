//! Segments of paths from and to servers that do not percent-encode: in their paths `%41` is not the letter A.

use actix_web::HttpRequest;
use actors::limits::InteropQuirks;
use percent_encoding::{AsciiSet, CONTROLS, PercentEncode, utf8_percent_encode};

use crate::egress::EgressRequest;

/// Characters that are encoded even for a server that decodes nothing: those that end a request line, a path or a
/// segment. Such a server then finds nothing, instead of something else.
const RAW_SEGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'/').add(b'?');

/// Returns the possible values of the last segments of the path, the likeliest first, one for each way of decoding. For a server that
/// encodes nothing the raw text comes first: as it wrote it, with the `#` that the listener made `%23`, and as received.
pub(crate) fn readings<const N: usize>(
    request: &HttpRequest,
    decoded: [&str; N],
    habits: InteropQuirks,
) -> Vec<[String; N]> {
    let decoded = decoded.map(str::to_owned);
    if !habits.raw_targets {
        return vec![decoded];
    }
    let mut segments = request.uri().path().trim_end_matches('/').rsplit('/');
    let mut raw = [(); N].map(|()| segments.next().unwrap_or_default().to_owned());
    raw.reverse();
    let mut readings = vec![raw.clone().map(|segment| segment.replace("%23", "#")), raw, decoded];
    readings.dedup();
    readings
}

/// Encodes a text as one segment of a path to a server with these interop quirks. `usual` are the characters that are encoded
/// for all others.
pub(crate) fn segment<'t>(text: &'t str, habits: InteropQuirks, usual: &'static AsciiSet) -> PercentEncode<'t> {
    utf8_percent_encode(text, if habits.raw_targets { RAW_SEGMENT } else { usual })
}

/// Returns the request to a server with these interop quirks; its path was written with [`segment`].
pub(crate) fn request(request: EgressRequest, habits: InteropQuirks) -> EgressRequest {
    if habits.raw_targets { request.raw() } else { request }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn raw_segment_read_verbatim_first() {
        let old = InteropQuirks { raw_targets: true, ..InteropQuirks::default() };
        let read = |uri: &str, decoded: &str, habits| -> Vec<String> {
            let request = TestRequest::get().uri(uri).to_http_request();
            readings(&request, [decoded], habits).into_iter().map(|[segment]| segment).collect()
        };
        assert_eq!(read("/v1/state/%2350%41/", "#50A", old), ["#50%41", "%2350%41", "#50A"]);
        assert_eq!(read("/v1/state/%2350%41?v=%41", "#50A", InteropQuirks::default()), ["#50A"]);
        assert_eq!(read("/v1/state/plain/", "plain", old), ["plain"]);
        let request = TestRequest::get().uri("/v1/pdu/red/%23a/").to_http_request();
        let both = readings(&request, ["red", "#a"], old);
        assert_eq!(both, [["red", "#a"], ["red", "%23a"], ["red", "#a"]].map(|pair| pair.map(str::to_owned)));
    }
}
