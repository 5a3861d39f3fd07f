//! A call and its answer in Protobuf, by `config/fernpost.proto`: one field with the JSON text. An answer with an error status may
//! be an error instead, which alone has a code.

use bytes::Bytes;
use prost::Message;

use crate::api::errors::ErrorBody;
use crate::http::body::encoded::BodyEncoding;

/// Bytes by which a message may be longer than its JSON: the key of the field, and a length of at most ten bytes.
pub(crate) const AROUND_MAX: usize = 11;

/// A call or its answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CallMessage {
    /// The JSON text.
    #[prost(bytes = "bytes", tag = "1")]
    pub json: Bytes,
}

/// The fields of an answer with an error status. The first one is the JSON of an answer, or the words of an error.
#[derive(Clone, PartialEq, prost::Message)]
struct RefusalMessage {
    #[prost(bytes = "bytes", tag = "1")]
    text: Bytes,
    #[prost(string, tag = "2")]
    code: String,
    #[prost(uint32, tag = "3")]
    wait: u32,
}

/// Error: a body is no message of the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not Protobuf: {0}")]
pub(crate) struct NotProtobuf(String);

impl From<prost::DecodeError> for NotProtobuf {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// Returns the body with this JSON text.
pub(crate) fn body_of(encoding: BodyEncoding, json: Bytes) -> Bytes {
    match encoding {
        BodyEncoding::Json => json,
        BodyEncoding::Protobuf => CallMessage { json }.encode_to_vec().into(),
    }
}

/// Returns the JSON text in the body of a call. It is a part of the body, without a copy.
pub(crate) fn call_json(encoding: BodyEncoding, body: Bytes) -> Result<Bytes, NotProtobuf> {
    match encoding {
        BodyEncoding::Json => Ok(body),
        BodyEncoding::Protobuf => Ok(CallMessage::decode(body)?.json),
    }
}

/// Returns the JSON text of an answer with this status in Protobuf. An error becomes the JSON that it has in the other encoding,
/// because the messenger reads JSON alone.
pub(crate) fn answer_json(status: u16, body: Bytes) -> Result<Bytes, NotProtobuf> {
    if status < 400 {
        return Ok(CallMessage::decode(body)?.json);
    }
    let RefusalMessage { text, code, wait } = RefusalMessage::decode(body)?;
    if code.is_empty() {
        return Ok(text);
    }
    let words =
        std::str::from_utf8(&text).map_err(|_| NotProtobuf("the words of an error are not UTF-8".to_owned()))?;
    let wait = (wait > 0).then_some(wait.into());
    let error = ErrorBody { wait, ..ErrorBody::new(words, &code) };
    Ok(serde_json::to_vec(&error).expect("texts and numbers into memory").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(status: u16, body: &'static [u8]) -> Option<String> {
        let read = answer_json(status, Bytes::from_static(body)).ok()?;
        Some(String::from_utf8(read.to_vec()).expect("text"))
    }

    #[test]
    fn calls_read_back_as_written() {
        for text in ["", "{}", r#"{"x":"\u00e9"}"#] {
            for encoding in [BodyEncoding::Json, BodyEncoding::Protobuf] {
                let body = body_of(encoding, Bytes::from_static(text.as_bytes()));
                assert!(body.len() <= text.len() + AROUND_MAX);
                let range = body.as_ptr_range();
                let read = call_json(encoding, body).expect("it is written by us");
                assert_eq!(read, text);
                assert!(text.is_empty() || range.contains(&read.as_ptr()), "nothing is copied");
            }
        }
        for bad in [&b"\x0a\x03{}"[..], b"\x08\x01", b"{}", b"\x0a"] {
            assert!(call_json(BodyEncoding::Protobuf, Bytes::from_static(bad)).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn code_tells_error_from_answer() {
        let refused = b"\x0a\x04busy\x12\x08RPC_BUSY\x18\x02";
        assert_eq!(json(429, refused).as_deref(), Some(r#"{"error":"busy","code":"RPC_BUSY","wait":2}"#));
        assert_eq!(json(404, b"\x0a\x00\x12\x01X").as_deref(), Some(r#"{"error":"","code":"X"}"#));
        assert_eq!(json(404, b"\x0a\x02{}").as_deref(), Some("{}"), "the messenger's own refusal");
        assert_eq!(json(200, b"\x0a\x02{}\x12\x01X").as_deref(), Some("{}"), "a success has no code");
        assert_eq!(json(500, b"\x0a\x01\xff\x12\x01X"), None);
        assert_eq!(json(500, b"\x0a\x05{}"), None);
    }
}
