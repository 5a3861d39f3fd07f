//! A network in memory that carries the bytes of requests and responses; it delays, loses, repeats and holds them on
//! request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actors::model::{PushFailure, RequestDeadlines, ServerName};
use bytes::Bytes;
use fernpost::egress::{EgressMethod, EgressRequest};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// The faults of the links.
#[derive(Debug, Clone, Copy)]
pub struct LinkFaults {
    /// Share of requests that never arrive.
    pub requests_lost: f64,
    /// Share of responses that never arrive.
    pub answers_lost: f64,
    /// Share of requests that arrive a second time, at a random time.
    pub repeated: f64,
    /// Maximum delay of a request or a response.
    pub delay_max: Duration,
    /// Share of requests that a proxy answers itself: busy, too large, or a server error.
    pub meddled: f64,
}

/// Links without losses and delays.
pub const CALM: LinkFaults =
    LinkFaults { requests_lost: 0.0, answers_lost: 0.0, repeated: 0.0, delay_max: Duration::ZERO, meddled: 0.0 };

/// A request as it arrives at a gateway.
pub struct InboundCall {
    /// The server that asks.
    pub from: ServerName,
    /// Request that it sends.
    pub request: EgressRequest,
    /// Takes the answer.
    pub answer: oneshot::Sender<GatewayAnswer>,
}

/// The answer of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The time before which the sender is not to come again.
    pub retry_after: Option<Duration>,
    /// The body, whole.
    pub body: Bytes,
}

/// A request that was started, with any outcome.
#[derive(Debug, Clone)]
pub struct SentRequest {
    /// Time in milliseconds since the network was created.
    pub at: u64,
    /// The server that asked.
    pub from: ServerName,
    /// The server that was asked.
    pub to: ServerName,
    /// Request that was sent.
    pub request: EgressRequest,
}

type Way = (ServerName, ServerName);

/// A callback for everything that the network carries.
type CallObserver = Arc<dyn Fn(String) + Send + Sync>;

/// Observes each exchange, by a number that the network assigns, and may replace the peer's response.
pub trait ExchangeTap: Send + Sync {
    /// A gateway starts a request.
    fn begun(&self, exchange: u64, from: &ServerName, to: &ServerName, request: &EgressRequest);

    /// The request, or a copy of it, has arrived at the peer.
    fn arrived(&self, exchange: u64);

    /// The network answers in the place of the peer, which never receives the request.
    fn meddled(&self, exchange: u64);

    /// The peer has answered; the returned response goes to the sender.
    fn answered(&self, exchange: u64, answer: GatewayAnswer) -> Result<GatewayAnswer, PushFailure>;

    /// Records the outcome for the sender; if the sender no longer waits, it is a broken connection.
    fn ended(&self, exchange: u64, outcome: &Result<Bytes, PushFailure>);
}

/// An exchange whose sender waits; if it is dropped before its end, the connection counts as broken.
struct WatchedExchange {
    tap: Option<Arc<dyn ExchangeTap>>,
    exchange: u64,
    is_over: bool,
}

impl WatchedExchange {
    fn end(mut self, outcome: &Result<Bytes, PushFailure>) {
        self.is_over = true;
        if let Some(tap) = &self.tap {
            tap.ended(self.exchange, outcome);
        }
    }
}

impl Drop for WatchedExchange {
    fn drop(&mut self) {
        if let Some(tap) = self.tap.as_ref().filter(|_| !self.is_over) {
            tap.ended(self.exchange, &Err(PushFailure::Broken("its sender has gone".to_owned())));
        }
    }
}

/// The servers that can be reached, and the faults of the links.
pub struct TestNetwork {
    state: Mutex<NetworkState>,
    /// Notifies requests that wait for a link of its changes. It wakes them in the order of their arrival, which a `watch`
    /// does not.
    ways: Notify,
    since: Instant,
}

struct NetworkState {
    doors: HashMap<ServerName, mpsc::UnboundedSender<InboundCall>>,
    down: HashSet<Way>,
    held: HashSet<Way>,
    /// Links on which responses are rewritten to those of a server of 2016.
    plain: HashSet<Way>,
    weather: LinkFaults,
    chance: fastrand::Rng,
    sent: Vec<SentRequest>,
    ear: Option<CallObserver>,
    tap: Option<Arc<dyn ExchangeTap>>,
    exchanges: u64,
}

/// The fate of one request.
struct ExchangeFate {
    lost: bool,
    answer_lost: bool,
    there: Duration,
    back: Duration,
    again: Option<Duration>,
    meddled: Option<u8>,
}

impl TestNetwork {
    /// Returns an empty network; the seed determines every loss.
    pub fn new(seed: u64, weather: LinkFaults) -> Arc<Self> {
        let chance = fastrand::Rng::with_seed(seed);
        let (doors, down, held, plain, sent) = (HashMap::new(), HashSet::new(), HashSet::new(), HashSet::new(), vec![]);
        let state =
            NetworkState { doors, down, held, plain, weather, chance, sent, ear: None, tap: None, exchanges: 0 };
        Arc::new(Self { state: Mutex::new(state), ways: Notify::new(), since: Instant::now() })
    }

    fn state(&self) -> MutexGuard<'_, NetworkState> {
        self.state.lock().expect("no holder panics")
    }

    fn change<T>(&self, change: impl FnOnce(&mut NetworkState) -> T) {
        change(&mut self.state());
        self.ways.notify_waiters();
    }

    /// Adds a server under this name.
    pub fn open(&self, name: ServerName, door: mpsc::UnboundedSender<InboundCall>) {
        self.change(|state| state.doors.insert(name, door));
    }

    /// Removes the server of this name.
    pub fn close(&self, name: &ServerName) {
        self.change(|state| state.doors.remove(name));
    }

    /// Cuts a link: requests on it fail at once.
    pub fn cut(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.down.insert((from.clone(), to.clone())));
    }

    /// Restores a link.
    pub fn mend(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.down.remove(&(from.clone(), to.clone())));
    }

    /// Holds requests on a link until they are released.
    pub fn hold(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.held.insert((from.clone(), to.clone())));
    }

    /// Delivers the held requests.
    pub fn release(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.held.remove(&(from.clone(), to.clone())));
    }

    /// Restores all links and ends all faults.
    pub fn heal(&self) {
        self.change(|state| {
            state.down.clear();
            state.held.clear();
            state.weather = LinkFaults { delay_max: state.weather.delay_max, ..CALM };
        });
    }

    /// Sets the faults of the links.
    pub fn becomes(&self, weather: LinkFaults) {
        self.state().weather = weather;
    }

    /// Removes the announced window from responses to this sender, as a server of 2016 writes them.
    pub fn make_plain(&self, from: &ServerName, to: &ServerName) {
        self.state().plain.insert((from.clone(), to.clone()));
    }

    /// Sets the callback for everything that is carried.
    pub fn tell(&self, ear: impl Fn(String) + Send + Sync + 'static) {
        self.state().ear = Some(Arc::new(ear));
    }

    /// Adds an observer of every exchange from now on.
    pub fn watch(&self, tap: Arc<dyn ExchangeTap>) {
        self.state().tap = Some(tap);
    }

    fn tap(&self) -> Option<Arc<dyn ExchangeTap>> {
        self.state().tap.clone()
    }

    fn told(&self, way: &Way, what: impl FnOnce() -> String) {
        let ear = self.state().ear.clone();
        if let Some(ear) = ear {
            ear(format!("{} -> {}: {}", short(&way.0), short(&way.1), what()));
        }
    }

    /// Returns all requests started so far.
    pub fn sent(&self) -> Vec<SentRequest> {
        self.state().sent.clone()
    }

    /// Returns the requests for PDUs so far: the time, and the asking server, the asked server and the PDU as text.
    pub fn asked(&self) -> Vec<(u64, String)> {
        let gets = self.sent().into_iter().filter(|sent| sent.request.method == EgressMethod::Get);
        let shown = |sent: SentRequest| {
            let wanted = sent.request.path.rsplit('/').nth(1).expect("an id").to_owned();
            (sent.at, format!("{} asks {} for {wanted}", short(&sent.from), short(&sent.to)))
        };
        gets.map(shown).collect()
    }

    fn fate(&self) -> ExchangeFate {
        let mut state = self.state();
        let (weather, chance) = (state.weather, &mut state.chance);
        // Delays are whole milliseconds, as timers have them: fractions would be rounded depending on the start of the
        // process, and the same seed would take another course.
        let longest = u64::try_from(weather.delay_max.as_millis()).expect("64 bits");
        let mut delay = || Duration::from_millis(chance.u64(0..=longest));
        let (there, back, again) = (delay(), delay(), delay() * 3);
        let is_repeated = chance.f64() < weather.repeated;
        ExchangeFate {
            lost: chance.f64() < weather.requests_lost,
            answer_lost: chance.f64() < weather.answers_lost,
            there,
            back,
            again: is_repeated.then_some(again),
            meddled: (weather.meddled > 0.0 && chance.f64() < weather.meddled).then(|| chance.u8(..)),
        }
    }

    fn is_down(&self, way: &Way) -> bool {
        self.state().down.contains(way)
    }

    /// Sends a request and waits for its response, as a gateway's client does; only a 200 is a success.
    pub async fn send(
        self: Arc<Self>,
        way: Way,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let at = u64::try_from(self.since.elapsed().as_millis()).expect("64 bits");
        let sent = SentRequest { at, from: way.0.clone(), to: way.1.clone(), request: request.clone() };
        self.state().sent.push(sent);
        self.told(&way, || format!("{} {}", request.path, String::from_utf8_lossy(&request.body)));
        let exchange = {
            let mut state = self.state();
            state.exchanges += 1;
            state.exchanges
        };
        let watched = WatchedExchange { tap: self.tap(), exchange, is_over: false };
        if let Some(tap) = &watched.tap {
            tap.begun(exchange, &way.0, &way.1, &request);
        }
        let answer = self.clone().exchange(exchange, way.clone(), request, deadlines).await;
        self.told(&way, || format!("answered {answer:?}"));
        watched.end(&answer);
        answer
    }

    async fn exchange(
        self: Arc<Self>,
        exchange: u64,
        way: Way,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let fate = self.fate();
        if self.is_down(&way) {
            sleep(Duration::from_millis(1)).await;
            return Err(PushFailure::Unreachable("no way there".into()));
        }
        if let Some(whim) = fate.meddled {
            if let Some(tap) = self.tap() {
                tap.meddled(exchange);
            }
            sleep(fate.there + fate.back).await;
            return read(meddle(whim, &request.path));
        }
        if let Some(again) = fate.again {
            tokio::spawn(self.clone().carry(exchange, way.clone(), request.clone(), again));
        }
        // The request runs in a task of its own: it arrives even if its sender no longer waits.
        let carried =
            (!fate.lost).then(|| tokio::spawn(self.clone().carry(exchange, way.clone(), request, fate.there)));
        let answered = async {
            match carried {
                Some(carried) if !fate.answer_lost => carried.await.expect("carrying does not panic"),
                _ => std::future::pending().await,
            }
        };
        let answer = timeout(deadlines.total, answered).await.map_err(|_| PushFailure::TimedOut)??;
        let answer = match self.tap() {
            Some(tap) => tap.answered(exchange, answer),
            None => Ok(answer),
        };
        sleep(fate.back).await;
        let answer = answer?;
        let body = read(answer)?;
        Ok(if self.state().plain.contains(&way) { without_window(body) } else { body })
    }

    /// Delivers a request to the other side when it arrives there.
    async fn carry(
        self: Arc<Self>,
        exchange: u64,
        way: Way,
        request: EgressRequest,
        there: Duration,
    ) -> Result<GatewayAnswer, PushFailure> {
        sleep(there).await;
        loop {
            let changed = self.ways.notified();
            if !self.state().held.contains(&way) {
                break;
            }
            changed.await;
        }
        let door = self.state().doors.get(&way.1).cloned();
        let Some(door) = door.filter(|_| !self.is_down(&way)) else {
            return Err(PushFailure::Unreachable("nobody is there".into()));
        };
        if let Some(tap) = self.tap() {
            tap.arrived(exchange);
        }
        let answered = call(&door, way.0, request).await;
        answered.ok_or_else(|| PushFailure::Broken("the connection broke".to_owned()))
    }

    /// Delivers a request of the test itself, without any faults.
    pub async fn knock(&self, (from, to): Way, request: EgressRequest) -> Option<GatewayAnswer> {
        let door = self.state().doors.get(&to).cloned()?;
        call(&door, from, request).await
    }
}

/// Returns the response of a gateway; `None`: the gateway ended before it answered.
async fn call(
    door: &mpsc::UnboundedSender<InboundCall>,
    from: ServerName,
    request: EgressRequest,
) -> Option<GatewayAnswer> {
    let (answer, answered) = oneshot::channel();
    door.send(InboundCall { from, request, answer }).ok()?;
    answered.await.ok()
}

/// Returns the response of a proxy, which never says that an item was accepted.
fn meddle(whim: u8, path: &str) -> GatewayAnswer {
    let answer = |status, retry_after: Option<u64>, body: &'static str| GatewayAnswer {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        body: Bytes::from_static(body.as_bytes()),
    };
    let is_push = path.starts_with("/http/");
    match whim % 8 {
        0 => answer(413, None, r#"{"error":"too large","code":"TOO_LARGE"}"#),
        1 | 2 => answer(429, Some(u64::from(whim / 16)), "{}"),
        3 => answer(503, Some(2), "{}"),
        4 if is_push => answer(200, None, r#"{"receive":"wait","wait":7}"#),
        5 if is_push => answer(200, None, "<html>please sign in</html>"),
        _ => answer(500, None, "<html>trouble</html>"),
    }
}

/// Returns the same response without the window. A body that is no answer to a push stays unchanged.
fn without_window(body: Bytes) -> Bytes {
    let Ok(mut answer) = serde_json::from_slice::<serde_json::Value>(&body) else { return body };
    match answer.as_object_mut().filter(|answer| answer.contains_key("receive")) {
        Some(answer) => {
            answer.remove("window");
            answer.remove("conflict");
        }
        None => return body,
    }
    answer.to_string().into()
}

/// Returns the outcome that a status has for the sender.
fn read(answer: GatewayAnswer) -> Result<Bytes, PushFailure> {
    let GatewayAnswer { status, retry_after, body } = answer;
    let reason = String::from_utf8_lossy(&body).into_owned();
    match status {
        200 => Ok(body),
        429 | 500..=599 => Err(PushFailure::Troubled { status, reason, retry_after }),
        _ => Err(PushFailure::Refused { status, reason }),
    }
}

/// Returns the first label of a name, for output.
pub fn short(name: &ServerName) -> &str {
    name.as_str().split('.').next().expect("a first part")
}
