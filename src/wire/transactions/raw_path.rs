//! What the segments of a path may mean. Servers of 2014 write them as they stand: there `%41` is no letter A.

use actix_web::HttpRequest;
use actors::limits::InteropQuirks;

/// What the last segments of the path may be, the likeliest first; as many of them as were decoded. Of a server that decodes nothing
/// the raw text comes first: as it wrote it, with the `#` that the listener made `%23`, and as it came.
pub(super) fn readings<const N: usize>(
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
