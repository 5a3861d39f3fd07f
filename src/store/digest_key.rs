//! The key of the digests of a store: secret random bytes that its first opening chooses.

use actors::model::DigestKey;
use redb::{ReadableTable, WriteTransaction};

use crate::store::schema::tables;

/// Key of the row in `meta`.
const DIGEST_KEY: &str = "digest_key";

/// Returns the key, and chooses one if the store has none: a new store, and one of a program before, whose rows have digests
/// without a key.
pub(crate) fn provide(transaction: &WriteTransaction) -> Result<DigestKey, redb::Error> {
    let mut meta = transaction.open_table(tables::META)?;
    if let Some(text) = meta.get(DIGEST_KEY)?.map(|row| row.value().to_owned()) {
        // With another key, every repeat of what came before would be taken for something else.
        let bad = || redb::Error::Corrupted(format!("the row {DIGEST_KEY} of meta is no key"));
        return parse(&text).map(|bytes| DigestKey::new(&bytes)).ok_or_else(bad);
    }
    let mut bytes = [0; DigestKey::BYTES];
    getrandom::fill(&mut bytes).map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    meta.insert(DIGEST_KEY, text.as_str())?;
    Ok(DigestKey::new(&bytes))
}

fn parse(text: &str) -> Option<[u8; DigestKey::BYTES]> {
    let (high, low) = text.split_at_checked(DigestKey::BYTES)?;
    let half = |text: &str| {
        let is_hex = text.len() == DigestKey::BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| is_hex).map(u128::to_be_bytes)
    };
    [half(high)?, half(low)?].concat().try_into().ok()
}

#[cfg(test)]
mod tests {
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn key_is_chosen_once() {
        let database = || Database::builder().create_with_backend(InMemoryBackend::new()).expect("in memory");
        let (one, other) = (database(), database());
        let provided = |database: &Database| {
            let transaction = database.begin_write().expect("in memory");
            let key = provide(&transaction).expect("sound");
            transaction.commit().expect("in memory");
            key
        };
        let key = provided(&one);
        assert_eq!(provided(&one), key);
        assert_ne!(provided(&other), key);
    }

    #[test]
    fn damaged_key_is_refused() {
        let key = "0123456789abcdef".repeat(4);
        assert_eq!(parse(&key).map(|bytes| (bytes[0], bytes[1], bytes[31])), Some((0x01, 0x23, 0xef)));
        for damaged in ["", &key[1..], &key.replace('0', "g"), &key.replace("01", "+1"), &format!("{key}0")] {
            assert_eq!(parse(damaged), None, "{damaged}");
        }
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("in memory");
        let transaction = database.begin_write().expect("in memory");
        transaction.open_table(tables::META).expect("new").insert(DIGEST_KEY, "abc").expect("in memory");
        assert!(matches!(provide(&transaction), Err(redb::Error::Corrupted(_))));
    }
}
