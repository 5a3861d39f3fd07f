//! A network in memory that carries the bytes of requests and answers; it delays, loses, repeats and holds back as told.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actors::model::{Millis, PushFailure, RequestDeadlines, ServerName};
use bytes::Bytes;
use fernpost::egress::{EgressMethod, EgressRequest};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

/// The faults of the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkFaults {
    /// The share of requests that never arrive.
    pub(crate) requests_lost: f64,
    /// The share of answers that never come back.
    pub(crate) answers_lost: f64,
    /// The share of requests that arrive a second time, at some other moment.
    pub(crate) repeated: f64,
    /// The longest a request or an answer travels.
    pub(crate) delay_max: Duration,
    /// The share of requests that a box in between answers itself: busy, too large, in trouble.
    pub(crate) meddled: f64,
}

/// A wire without losses and delays.
pub(crate) const CALM: LinkFaults =
    LinkFaults { requests_lost: 0.0, answers_lost: 0.0, repeated: 0.0, delay_max: Duration::ZERO, meddled: 0.0 };

/// A request as it reaches a gateway's door.
pub(crate) struct Call {
    pub(crate) from: ServerName,
    pub(crate) request: EgressRequest,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The answer of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// A request that was begun, wherever it ended.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// In milliseconds since the network was made.
    pub(crate) at: u64,
    pub(crate) from: ServerName,
    pub(crate) to: ServerName,
    pub(crate) request: EgressRequest,
}

type Way = (ServerName, ServerName);

/// Is told of everything the network carries.
type CallObserver = Arc<dyn Fn(String) + Send + Sync>;

/// Sees each exchange, by the number that the network gives it, and may put another answer in the place of the peer's.
pub(crate) trait Tap: Send + Sync {
    /// A gateway begins a request.
    fn begun(&self, exchange: u64, from: &ServerName, to: &ServerName, request: &EgressRequest);

    /// The request, or a copy of it, has reached its door.
    fn arrived(&self, exchange: u64);

    /// The network answers in the place of the peer, which never sees the request.
    fn meddled(&self, exchange: u64);

    /// The peer has answered; what is returned goes back to the sender.
    fn answered(&self, exchange: u64, answer: Answer) -> Result<Answer, PushFailure>;

    /// Records what the sender was told; a sender that no longer waits is told that the connection broke.
    fn ended(&self, exchange: u64, outcome: &Result<Bytes, PushFailure>);
}

/// An exchange that its sender waits for; dropped before its end, it counts as broken.
struct Watched {
    tap: Option<Arc<dyn Tap>>,
    exchange: u64,
    is_over: bool,
}

impl Watched {
    fn end(mut self, outcome: &Result<Bytes, PushFailure>) {
        self.is_over = true;
        if let Some(tap) = &self.tap {
            tap.ended(self.exchange, outcome);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(tap) = self.tap.as_ref().filter(|_| !self.is_over) {
            tap.ended(self.exchange, &Err(PushFailure::Broken("its sender has gone".to_owned())));
        }
    }
}

/// The servers that can be reached, and the faults on the way.
pub(crate) struct Network {
    state: Mutex<State>,
    /// For those who wait for a way: it may have changed. Wakes them in the order in which they came, as a `watch` does not.
    ways: Notify,
    since: Instant,
}

struct State {
    doors: HashMap<ServerName, mpsc::UnboundedSender<Call>>,
    down: HashSet<Way>,
    held: HashSet<Way>,
    /// Ways back on which answers are made to look as a server of 2016 writes them.
    plain: HashSet<Way>,
    weather: LinkFaults,
    chance: fastrand::Rng,
    sent: Vec<Sent>,
    ear: Option<CallObserver>,
    tap: Option<Arc<dyn Tap>>,
    exchanges: u64,
}

/// The fate of one request.
struct Fate {
    lost: bool,
    answer_lost: bool,
    there: Duration,
    back: Duration,
    again: Option<Duration>,
    meddled: Option<u8>,
}

impl Network {
    /// An empty network; the seed decides every loss.
    pub(crate) fn new(seed: u64, weather: LinkFaults) -> Arc<Self> {
        let chance = fastrand::Rng::with_seed(seed);
        let (doors, down, held, plain, sent) = (HashMap::new(), HashSet::new(), HashSet::new(), HashSet::new(), vec![]);
        let state = State { doors, down, held, plain, weather, chance, sent, ear: None, tap: None, exchanges: 0 };
        Arc::new(Self { state: Mutex::new(state), ways: Notify::new(), since: Instant::now() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) {
        change(&mut self.state());
        self.ways.notify_waiters();
    }

    /// From now on this server is reached here.
    pub(crate) fn open(&self, name: ServerName, door: mpsc::UnboundedSender<Call>) {
        self.change(|state| state.doors.insert(name, door));
    }

    /// The server of this name stops listening.
    pub(crate) fn close(&self, name: &ServerName) {
        self.change(|state| state.doors.remove(name));
    }

    /// No request gets this way; whoever tries learns it at once.
    pub(crate) fn cut(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.down.insert((from.clone(), to.clone())));
    }

    /// Requests get this way again.
    pub(crate) fn mend(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.down.remove(&(from.clone(), to.clone())));
    }

    /// Requests this way are on their way and do not arrive, until they are let go.
    pub(crate) fn hold(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.held.insert((from.clone(), to.clone())));
    }

    /// The requests that were held arrive.
    pub(crate) fn release(&self, from: &ServerName, to: &ServerName) {
        self.change(|state| state.held.remove(&(from.clone(), to.clone())));
    }

    /// Every way is open, and nothing is lost any more.
    pub(crate) fn heal(&self) {
        self.change(|state| {
            state.down.clear();
            state.held.clear();
            state.weather = LinkFaults { delay_max: state.weather.delay_max, ..CALM };
        });
    }

    /// From now on it behaves like this.
    pub(crate) fn becomes(&self, weather: LinkFaults) {
        self.state().weather = weather;
    }

    /// Answers to what the one sends the other never say how much is taken, as a server of 2016 does not.
    pub(crate) fn make_plain(&self, from: &ServerName, to: &ServerName) {
        self.state().plain.insert((from.clone(), to.clone()));
    }

    /// Tell of everything that is carried.
    pub(crate) fn tell(&self, ear: impl Fn(String) + Send + Sync + 'static) {
        self.state().ear = Some(Arc::new(ear));
    }

    /// Let this see every exchange from now on.
    pub(crate) fn watch(&self, tap: Arc<dyn Tap>) {
        self.state().tap = Some(tap);
    }

    fn tap(&self) -> Option<Arc<dyn Tap>> {
        self.state().tap.clone()
    }

    fn told(&self, way: &Way, what: impl FnOnce() -> String) {
        let ear = self.state().ear.clone();
        if let Some(ear) = ear {
            ear(format!("{} -> {}: {}", short(&way.0), short(&way.1), what()));
        }
    }

    /// All requests begun so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.state().sent.clone()
    }

    /// The requests for PDUs so far: the time, the asking server, the asked server and the PDU.
    pub(crate) fn asked(&self) -> Vec<(u64, String)> {
        let gets = self.sent().into_iter().filter(|sent| sent.request.method == EgressMethod::Get);
        let shown = |sent: Sent| {
            let wanted = sent.request.path.rsplit('/').nth(1).expect("an id").to_owned();
            (sent.at, format!("{} asks {} for {wanted}", short(&sent.from), short(&sent.to)))
        };
        gets.map(shown).collect()
    }

    fn fate(&self) -> Fate {
        let mut state = self.state();
        let (weather, chance) = (state.weather, &mut state.chance);
        // In whole milliseconds, as timers have them: what lies between two would be rounded by how the process began, and the
        // same seed would take another course.
        let longest = u64::try_from(weather.delay_max.as_millis()).expect("64 bits");
        let mut delay = || Duration::from_millis(chance.u64(0..=longest));
        let (there, back, again) = (delay(), delay(), delay() * 3);
        let is_repeated = chance.f64() < weather.repeated;
        Fate {
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

    /// Send a request and wait for its answer, as a gateway's client does; the body of a 200 is the only success.
    pub(crate) async fn send(
        self: Arc<Self>,
        way: Way,
        request: EgressRequest,
        deadlines: RequestDeadlines,
    ) -> Result<Bytes, PushFailure> {
        let at = u64::try_from(self.since.elapsed().as_millis()).expect("64 bits");
        let sent = Sent { at, from: way.0.clone(), to: way.1.clone(), request: request.clone() };
        self.state().sent.push(sent);
        self.told(&way, || format!("{} {}", request.path, String::from_utf8_lossy(&request.body)));
        let exchange = {
            let mut state = self.state();
            state.exchanges += 1;
            state.exchanges
        };
        let watched = Watched { tap: self.tap(), exchange, is_over: false };
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
            return Err(PushFailure::Unreachable("no way there".to_owned()));
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
        // A task of its own: what is on its way arrives, whether its sender still waits or not.
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

    /// Hand a request over at the other end, when it gets there.
    async fn carry(
        self: Arc<Self>,
        exchange: u64,
        way: Way,
        request: EgressRequest,
        there: Duration,
    ) -> Result<Answer, PushFailure> {
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
            return Err(PushFailure::Unreachable("nobody is there".to_owned()));
        };
        if let Some(tap) = self.tap() {
            tap.arrived(exchange);
        }
        let answered = call(&door, way.0, request).await;
        answered.ok_or_else(|| PushFailure::Broken("the connection broke".to_owned()))
    }

    /// Straight to the door, whatever the weather: what a test sends itself.
    pub(crate) async fn knock(&self, (from, to): Way, request: EgressRequest) -> Option<Answer> {
        let door = self.state().doors.get(&to).cloned()?;
        call(&door, from, request).await
    }
}

/// The answer that comes from behind a door; none: whoever was there went amid it.
async fn call(door: &mpsc::UnboundedSender<Call>, from: ServerName, request: EgressRequest) -> Option<Answer> {
    let (answer, answered) = oneshot::channel();
    door.send(Call { from, request, answer }).ok()?;
    answered.await.ok()
}

/// The answer of a box between the servers. It never says that an item was accepted.
fn meddle(whim: u8, path: &str) -> Answer {
    let answer = |status, retry_after: Option<u64>, body: &'static str| Answer {
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

/// The same answer from a server that never heard of windows. What is no answer to a push keeps its bytes.
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

/// The outcome that a status means to a sender.
fn read(answer: Answer) -> Result<Bytes, PushFailure> {
    let Answer { status, retry_after, body } = answer;
    let reason = String::from_utf8_lossy(&body).into_owned();
    match status {
        200 => Ok(body),
        429 | 500..=599 => Err(PushFailure::Troubled { status, reason, retry_after }),
        _ => Err(PushFailure::Refused { status, reason }),
    }
}

/// The first word of a name: enough for people.
pub(crate) fn short(name: &ServerName) -> &str {
    name.as_str().split('.').next().expect("a first part")
}

/// Wall time when a network is made: not zero, so that a date that was forgotten shows.
pub(crate) const BASE: Millis = Millis(1_700_000_000_000);
