//! Finds the requests in a stream of bytes, and each `#` in their targets: a state machine that gets each byte once. The deadlines of
//! requests and the raw targets of 2014 are based on it.
//!
//! ```text
//!      +------------- no body, or its end --------------+
//!      v                                                |
//!   Between --> Method --> Target --> Version --> Header --> Body | Chunks
//!                                                   |
//!                        not certain, from anywhere +--> Blind
//! ```
//!
//! It must never take a byte of a body for a request line. So it reads heads and chunks as strictly as the HTTP parser
//! after it, and anything that is not certain (another encoding, two lengths, a WebSocket, a folded line, a broken one)
//! makes it `Blind` after its head: from there on the connection passes unchanged, as one body without an end. The price is a 404
//! for a raw `#` on such a connection; the parser refuses most of them anyway. It keeps only a short prefix of a line; the parser
//! limits the length of lines.

use crate::json::nesting::plain_length;

/// Bytes kept of a line. A header that frames the body is shorter, unless it is padded with blanks.
const LINE_KEPT: usize = 64;

/// The state of the stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestFraming {
    at: FramingPosition,
    /// Number of heads that have ended.
    heads: u64,
    /// Method, and later the current header line.
    line: LineScanner,
    head: RequestHead,
}

/// Framing of the body according to the headers so far.
#[derive(Debug, Clone, Default)]
struct RequestHead {
    connect: bool,
    length: Option<u64>,
    chunked: bool,
    /// True if a line was read after which the end of the body is not certain.
    uncertain: bool,
}

/// The part of a request that a stream of bytes has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestPart {
    /// Before the first byte of a head.
    Between,
    /// Within a head.
    Head,
    /// Within a body.
    Body,
    /// Within a body whose end is not looked for.
    Endless,
}

#[derive(Debug, Clone, Copy, Default)]
enum FramingPosition {
    /// Before a request line, where empty lines are skipped.
    #[default]
    Between,
    Method,
    Target,
    Version,
    Header,
    /// Number of body bytes that remain, and what follows them.
    Body(u64, AfterBody),
    Chunks(ChunkState),
    Blind,
}

#[derive(Debug, Clone, Copy)]
enum AfterBody {
    Request,
    ChunkEnd,
}

/// The states between the data of chunks; the same as in the HTTP parser.
#[derive(Debug, Clone, Copy)]
enum ChunkState {
    /// Before the first digit of a size.
    First,
    Size(u64),
    Blank(u64),
    Extension(u64),
    SizeLf(u64),
    DataCr,
    DataLf,
    EndCr,
    EndLf,
    Trailer,
    TrailerLf,
}

/// The start of a line, and its length.
#[derive(Debug, Clone)]
struct LineScanner {
    start: [u8; LINE_KEPT],
    length: usize,
}

impl Default for LineScanner {
    fn default() -> Self {
        Self { start: [0; LINE_KEPT], length: 0 }
    }
}

impl LineScanner {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.start.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = self.start.get_mut(self.length..).unwrap_or_default();
        let kept = room.len().min(bytes.len());
        room[..kept].copy_from_slice(&bytes[..kept]);
        self.length = self.length.saturating_add(bytes.len());
    }

    fn is_whole(&self) -> bool {
        self.length <= LINE_KEPT
    }

    /// Returns the kept part of the line, without the line end.
    fn text(&self) -> &[u8] {
        let kept = &self.start[..self.length.min(LINE_KEPT)];
        kept.strip_suffix(b"\r").unwrap_or(kept)
    }
}

impl RequestFraming {
    /// Returns the number of heads that have ended, and the part of a request that comes next.
    pub(crate) fn reached(&self) -> (u64, RequestPart) {
        let part = match self.at {
            FramingPosition::Between => RequestPart::Between,
            FramingPosition::Method | FramingPosition::Target | FramingPosition::Version | FramingPosition::Header => {
                RequestPart::Head
            }
            FramingPosition::Body(..) | FramingPosition::Chunks(_) => RequestPart::Body,
            FramingPosition::Blind => RequestPart::Endless,
        };
        (self.heads, part)
    }

    /// Processes the next bytes and calls `found` with the position of each `#` in a request target.
    pub(crate) fn scan(&mut self, bytes: &[u8], mut found: impl FnMut(usize)) {
        let mut place = 0;
        while let Some(&byte) = bytes.get(place) {
            match &mut self.at {
                FramingPosition::Blind => return,
                FramingPosition::Body(left, after) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - place);
                    *left -= here as u64;
                    place += here;
                    if *left == 0 {
                        self.at = match after {
                            AfterBody::Request => FramingPosition::Between,
                            AfterBody::ChunkEnd => FramingPosition::Chunks(ChunkState::DataCr),
                        };
                    }
                }
                // All of a line is taken at once, because most bytes of a head are in header lines.
                FramingPosition::Version | FramingPosition::Header if byte != b'\n' => {
                    let line = &bytes[place..place + plain_length(&bytes[place..], |byte| byte == b'\n')];
                    if matches!(self.at, FramingPosition::Header) {
                        self.line.extend(line);
                    }
                    place += line.len();
                }
                at => {
                    if byte == b'#' && matches!(at, FramingPosition::Target) {
                        found(place);
                    }
                    self.step(byte);
                    place += 1;
                }
            }
        }
    }

    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (FramingPosition::Between, b'\r' | b'\n') => FramingPosition::Between,
            (FramingPosition::Between, _) => {
                self.head = RequestHead::default();
                self.line.length = 0;
                self.line.push(byte);
                FramingPosition::Method
            }
            (FramingPosition::Method, b' ') => {
                self.head.connect = self.line.text() == b"CONNECT";
                FramingPosition::Target
            }
            // A line that ends before its version is not a request.
            (FramingPosition::Method | FramingPosition::Target, b'\r' | b'\n') => FramingPosition::Blind,
            (FramingPosition::Method, _) => {
                self.line.push(byte);
                FramingPosition::Method
            }
            (FramingPosition::Target, b' ') => FramingPosition::Version,
            (FramingPosition::Target, _) => FramingPosition::Target,
            (FramingPosition::Version, b'\n') => self.next_header(),
            (FramingPosition::Header, b'\n') => self.headed(),
            // `scan` takes the other bytes of these lines.
            (FramingPosition::Version | FramingPosition::Header, _) => self.at,
            (FramingPosition::Chunks(chunks), _) => chunks.step(byte),
            (FramingPosition::Body(..) | FramingPosition::Blind, _) => FramingPosition::Blind,
        };
    }

    fn next_header(&mut self) -> FramingPosition {
        self.line.length = 0;
        FramingPosition::Header
    }

    /// Returns the state after a header line.
    fn headed(&mut self) -> FramingPosition {
        let text = self.line.text();
        if text.is_empty() {
            self.heads += 1;
            return self.body();
        }
        // A folded line continues the line before it.
        if text.starts_with(b" ") || text.starts_with(b"\t") {
            self.head.uncertain = true;
            return self.next_header();
        }
        let Some(colon) = text.iter().position(|&byte| byte == b':') else { return self.next_header() };
        let (name, value) = (&text[..colon], text[colon + 1..].trim_ascii());
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let certain = if is("content-length") {
            let length = length(value).filter(|_| self.line.is_whole() && self.head.length.is_none());
            self.head.length = length;
            length.is_some()
        } else if is("transfer-encoding") {
            let again = std::mem::replace(&mut self.head.chunked, true);
            self.line.is_whole() && !again && value.eq_ignore_ascii_case(b"chunked")
        } else {
            // The parser ignores every other protocol.
            !is("upgrade") || (self.line.is_whole() && !value.eq_ignore_ascii_case(b"websocket"))
        };
        self.head.uncertain |= !certain;
        self.next_header()
    }

    fn body(&self) -> FramingPosition {
        match self.head {
            RequestHead { connect: true, .. }
            | RequestHead { uncertain: true, .. }
            | RequestHead { length: Some(_), chunked: true, .. } => FramingPosition::Blind,
            RequestHead { chunked: true, .. } => FramingPosition::Chunks(ChunkState::First),
            RequestHead { length: None | Some(0), .. } => FramingPosition::Between,
            RequestHead { length: Some(length), .. } => FramingPosition::Body(length, AfterBody::Request),
        }
    }
}

impl ChunkState {
    fn step(self, byte: u8) -> FramingPosition {
        FramingPosition::Chunks(match (self, byte) {
            (Self::First, digit) => match hex(digit) {
                Some(size) => Self::Size(size),
                None => return FramingPosition::Blind,
            },
            (Self::Size(size) | Self::Blank(size), b' ' | b'\t') => Self::Blank(size),
            (Self::Size(size) | Self::Blank(size), b';') => Self::Extension(size),
            (Self::Size(size) | Self::Blank(size) | Self::Extension(size), b'\r') => Self::SizeLf(size),
            (Self::Size(size), digit) => match (hex(digit), size.checked_mul(16)) {
                (Some(digit), Some(size)) => Self::Size(size + digit),
                _ => return FramingPosition::Blind,
            },
            (Self::Extension(size), b'\t' | b' '..=b'~' | 0x80..) => Self::Extension(size),
            (Self::SizeLf(0), b'\n') => Self::EndCr,
            (Self::SizeLf(size), b'\n') => return FramingPosition::Body(size, AfterBody::ChunkEnd),
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::First,
            (Self::EndCr, b'\r') => Self::EndLf,
            (Self::EndLf, b'\n') => return FramingPosition::Between,
            (Self::Trailer, b'\r') => Self::TrailerLf,
            (Self::TrailerLf, b'\n') => Self::EndCr,
            (Self::EndCr | Self::Trailer, _) => Self::Trailer,
            _ => return FramingPosition::Blind,
        })
    }
}

fn hex(digit: u8) -> Option<u64> {
    char::from(digit).to_digit(16).map(u64::from)
}

/// Parses a length; only digits are allowed.
fn length(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
mod tests;
