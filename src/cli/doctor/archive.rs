//! A tar archive in a gzip file, which is not compressed: a bundle is small, and no further library is needed for it.

use std::io::{self, Write};

/// Size of the blocks of a tar archive.
const BLOCK: usize = 512;

/// Maximum bytes of a stored block of gzip.
const STORED_MAX: usize = 0xffff;

/// Returns the archive of these files; `time`: seconds since 1970.
pub(super) fn tar(folder: &str, files: &[(String, Vec<u8>)], time: u64) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    for (name, bytes) in files {
        archive.write_all(&header(&format!("{folder}/{name}"), bytes.len(), time)?)?;
        archive.write_all(bytes)?;
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

/// Returns a ustar header of a file that only its owner can read.
fn header(name: &str, length: usize, time: u64) -> io::Result<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, room: usize, text: &str| {
        if text.len() > room {
            return Err(io::Error::other(format!("{text:?} is too long for an archive")));
        }
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    };
    put(0, 100, name)?;
    put(100, 8, "0000600")?;
    put(108, 8, "0000000")?;
    put(116, 8, "0000000")?;
    put(124, 12, &format!("{length:011o}"))?;
    put(136, 12, &format!("{time:011o}"))?;
    put(148, 8, "        ")?;
    put(156, 1, "0")?;
    put(257, 8, "ustar\u{0}00")?;
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// Returns the bytes as a gzip file.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut chunks = bytes.chunks(STORED_MAX).peekable();
    if chunks.peek().is_none() {
        file.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).expect("a chunk has at most 65,535 bytes");
        file.push(u8::from(chunks.peek().is_none()));
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(chunk);
    }
    file.extend(crc32(bytes).to_le_bytes());
    // The length is stated modulo 2^32.
    file.extend((bytes.len() as u32).to_le_bytes());
    file
}

/// Returns the checksum of gzip (IEEE 802.3).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_that_of_gzip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(gzip(b"").len(), 23);
    }

    #[test]
    fn long_names_are_refused() {
        assert!(tar("x", &[("y".repeat(99), vec![])], 0).is_err());
        assert_eq!(tar("x", &[("y".to_owned(), vec![1; 513])], 0).expect("short").len(), 512 + 1024 + 1024);
    }
}
