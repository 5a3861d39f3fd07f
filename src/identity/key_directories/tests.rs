//! Fetched key directories in virtual time: when they are fetched, and who waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actors::model::{DialectSpec, ServerName};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::identity::key_id::KeyId;
use crate::identity::origin_keys::{KeyQuery, NoKeysError, OriginKeys};

const TTL: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(30);

/// A server whose directory takes a second, and the number of fetches.
struct CountedSource {
    /// Ids of its keys; `None`: it answers with a failure.
    ids: Mutex<Option<Vec<&'static str>>>,
    takes: Duration,
    fetches: AtomicU32,
}

impl DirectorySource for CountedSource {
    fn fetch(&self, _: &ServerName, _: DialectSpec) -> DirectoryFetch {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let (ids, takes) = (self.ids.lock().clone(), self.takes);
        Box::pin(async move {
            sleep(takes).await;
            let entry = |id: &str| {
                format!(
                    r#"{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"}}"#
                )
            };
            let entries = ids.ok_or("it is down")?.into_iter().map(entry).collect::<Vec<_>>();
            Ok(format!(r#"{{"keys":[{}]}}"#, entries.join(",")).into())
        })
    }

    fn patience(&self, _: &ServerName) -> Duration {
        Duration::from_secs(10)
    }

    fn times(&self) -> DirectoryTimes {
        DirectoryTimes { ttl: TTL, retry: RETRY }
    }
}

/// Directories over such a source.
struct DirectoryFixture {
    source: Arc<CountedSource>,
    directories: KeyDirectories,
}

impl DirectoryFixture {
    fn new(ids: Option<&[&'static str]>, takes: Duration) -> Self {
        let (ids, fetches) = (Mutex::new(ids.map(<[_]>::to_vec)), AtomicU32::new(0));
        let source = Arc::new(CountedSource { ids, takes, fetches });
        let directories = KeyDirectories::new(source.clone(), Handle::current());
        Self { source, directories }
    }

    /// Asks for a key of this server; returns whether it is known.
    async fn ask_for(&self, server: &str, id: &str) -> Result<bool, NoKeysError> {
        let (server, wanted): (ServerName, _) =
            (server.parse().expect("a name"), [id.parse::<KeyId>().expect("an id")]);
        self.ask_since(Instant::now(), &server, &wanted).await
    }

    async fn ask_since(&self, since: Instant, server: &ServerName, wanted: &[KeyId; 1]) -> Result<bool, NoKeysError> {
        let query = KeyQuery { server, wanted, dialect: DialectSpec::UPDATES, since };
        let keys = self.directories.keys_of(query).await?;
        Ok(keys.iter().any(|(known, _)| *known == wanted[0]))
    }

    async fn ask(&self, id: &str) -> Result<bool, NoKeysError> {
        self.ask_for("blue.example", id).await
    }

    fn fetches(&self) -> u32 {
        self.source.fetches.load(Ordering::Relaxed)
    }

    fn publish(&self, ids: &[&'static str]) {
        *self.source.ids.lock() = Some(ids.to_vec());
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn down() -> Result<bool, NoKeysError> {
    Err(NoKeysError::Unreadable("it is down".into()))
}

#[tokio::test(start_paused = true)]
async fn questions_share_one_fetch() {
    let fixture = DirectoryFixture::new(Some(&["1"]), SECOND);
    let asked = futures_util::future::join_all((0..100).map(|_| fixture.ask("1"))).await;
    assert!(asked.iter().all(|known| *known == Ok(true)));
    assert_eq!(fixture.fetches(), 1);
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 1));
}

#[tokio::test(start_paused = true)]
async fn unknown_key_refetches_after_pause() {
    let fixture = DirectoryFixture::new(Some(&["1"]), SECOND);
    assert_eq!(fixture.ask("1").await, Ok(true));
    fixture.publish(&["1", "2"]);
    for _ in 0..20 {
        assert_eq!(fixture.ask("2").await, Ok(false));
    }
    assert_eq!(fixture.fetches(), 1);
    advance(RETRY).await;
    assert_eq!((fixture.ask("2").await, fixture.fetches()), (Ok(true), 2));
}

#[tokio::test(start_paused = true)]
async fn removed_key_ends_with_its_copy() {
    let fixture = DirectoryFixture::new(Some(&["1"]), SECOND);
    assert_eq!(fixture.ask("1").await, Ok(true));
    fixture.publish(&["2"]);
    advance(TTL / 2).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 1));
    advance(TTL / 2).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(false), 2));
    assert_eq!(fixture.ask("2").await, Ok(true));
}

/// A copy that ends soon is fetched again without anybody waiting, so a server that is down for a moment goes on being known.
#[tokio::test(start_paused = true)]
async fn aging_copy_is_renewed_in_advance() {
    let fixture = DirectoryFixture::new(Some(&["1"]), SECOND);
    assert_eq!(fixture.ask("1").await, Ok(true));
    advance(TTL * 3 / 4).await;
    *fixture.source.ids.lock() = None;
    let began = Instant::now();
    assert_eq!((fixture.ask("1").await, fixture.fetches(), began.elapsed()), (Ok(true), 2, Duration::ZERO));
    sleep(2 * SECOND).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 2), "the failure is remembered");
    fixture.publish(&["1"]);
    sleep(RETRY).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 3));
    sleep(TTL / 2).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 3), "it is a new copy");
}

#[tokio::test(start_paused = true)]
async fn failure_is_remembered() {
    let fixture = DirectoryFixture::new(None, SECOND);
    assert_eq!((fixture.ask("1").await, fixture.ask("2").await, fixture.fetches()), (down(), down(), 1));
    fixture.publish(&["1"]);
    advance(RETRY - SECOND).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (down(), 1));
    advance(SECOND).await;
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 2));
    // Keys that have aged out are not used, even if no newer ones can be had.
    advance(TTL).await;
    *fixture.source.ids.lock() = None;
    assert_eq!(fixture.ask("1").await, down());
}

#[tokio::test(start_paused = true)]
async fn hanging_directory_is_waited_for_briefly() {
    let fixture = DirectoryFixture::new(Some(&["1"]), Duration::from_secs(15));
    let began = Instant::now();
    assert_eq!(fixture.ask("1").await, Err(NoKeysError::TimedOut(Duration::from_secs(10))));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!((fixture.ask("1").await, fixture.fetches()), (Ok(true), 1), "the fetch went on");
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}

/// A batch with PDUs of many origins waits no longer than one with a PDU of one, and begins all fetches.
#[tokio::test(start_paused = true)]
async fn questions_of_request_share_patience() {
    let fixture = DirectoryFixture::new(Some(&["1"]), Duration::from_secs(15));
    let (began, wanted) = (Instant::now(), ["1".parse().expect("an id")]);
    for n in 0..100 {
        let server = format!("n{n}.example").parse().expect("a name");
        let late = fixture.ask_since(began, &server, &wanted).await;
        assert_eq!(late, Err(NoKeysError::TimedOut(Duration::from_secs(10))));
    }
    assert_eq!((began.elapsed(), fixture.fetches()), (Duration::from_secs(10), 100));
    sleep(Duration::from_secs(16)).await;
    assert_eq!(fixture.ask_for("n99.example", "1").await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn number_of_kept_directories_is_bounded() {
    let fixture = DirectoryFixture::new(Some(&["1"]), Duration::ZERO);
    for n in 0..5_000 {
        assert_eq!(fixture.ask_for(&format!("n{n}.example"), "1").await, Ok(true));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(fixture.ask("1").await, Ok(true));
    }
    assert_eq!(fixture.fetches(), 5_001, "the one that is used stays");
    assert_eq!((fixture.ask_for("n0.example", "1").await, fixture.fetches()), (Ok(true), 5_002), "the oldest has left");
}
