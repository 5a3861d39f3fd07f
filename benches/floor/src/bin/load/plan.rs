//! The run that was asked for: its options, and the requests that it consists of.

use std::fmt::Display;
use std::hash::BuildHasher;
use std::io::Write;
use std::str::FromStr;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::Instant;

use crate::Failure;

/// Bytes of padding are appended to reach the wanted size.
const PADDING: u8 = b'x';

/// The servers that a request is for.
pub(crate) enum Recipients {
    /// One server, whose feed is read.
    One(String),
    /// Of `peers` servers that a sink plays, `fan` for each request, the next ones in turn.
    Many { peers: u64, fan: u64 },
}

/// The options of a run, and its progress.
pub(crate) struct Plan {
    /// URL of the API that takes submissions.
    pub(crate) submit: String,
    pub(crate) recipients: Recipients,
    pub(crate) messages: u64,
    pub(crate) per_request: u64,
    pub(crate) connections: u64,
    size: usize,
    /// Contexts that messages go into in turn; 0: updates without a context.
    pub(crate) contexts: u64,
    /// Prefix of the names of the contexts.
    context_prefix: String,
    pub(crate) latency_rate: Option<f64>,
    pub(crate) token: Option<String>,
    pub(crate) deadline: Duration,
    /// Distinguishes this run's updates and ids from those of an earlier one.
    pub(crate) run: String,
    /// The start from which the stamps in the updates count.
    pub(crate) started: Instant,
    pub(crate) submitted: AtomicU64,
    pub(crate) arrived: AtomicU64,
}

impl Plan {
    pub(crate) fn read() -> Result<Plan, Failure> {
        let recipients = match option("--to") {
            Some(server) => Recipients::One(server),
            None => Recipients::Many { peers: number("--peers", 1)?.max(1), fan: number("--fan", 1)?.max(1) },
        };
        let run = || format!("{:016x}", std::hash::RandomState::new().hash_one(std::process::id()));
        Ok(Plan {
            submit: option("--submit").unwrap_or_default(),
            recipients,
            messages: number("--messages", 20_000)?.max(1),
            per_request: number("--per-request", 1)?.max(1),
            connections: number("--connections", 64)?.max(1),
            size: number("--size", 600)? as usize,
            contexts: number("--contexts", 0)?,
            context_prefix: option("--context-prefix").unwrap_or("bench".into()),
            latency_rate: option("--latency-rate").map(|text| text.parse()).transpose()?,
            token: option("--token"),
            deadline: Duration::from_secs(number("--deadline", 120)?),
            run: option("--run").unwrap_or_else(run),
            started: Instant::now(),
            submitted: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        })
    }

    pub(crate) fn requests(&self) -> u64 {
        self.messages.div_ceil(self.per_request)
    }

    /// Deliveries of the whole run.
    pub(crate) fn deliveries(&self) -> u64 {
        match self.recipients {
            Recipients::One(_) => self.messages,
            Recipients::Many { fan, .. } => self.messages * fan,
        }
    }

    pub(crate) fn elapsed_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    pub(crate) fn context(&self, number: u64) -> String {
        format!("{}-{}", self.context_prefix, number % self.contexts.max(1))
    }

    /// Names of the servers of request or context `number`, as a JSON list.
    pub(crate) fn servers(&self, number: u64) -> String {
        match &self.recipients {
            Recipients::One(server) => format!("[\"{server}\"]"),
            Recipients::Many { peers, fan } => {
                let names = (0..*fan).map(|i| format!("\"peer-{}.example\"", (number * fan + i) % peers));
                format!("[{}]", names.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// Method and path of request number `request`.
    pub(crate) fn target(&self, request: u64) -> (&'static str, String) {
        match (self.contexts, self.per_request) {
            (0, _) => ("PUT", format!("/v1/updates/{}-{request}", self.run)),
            (_, 1) => ("PUT", format!("/v1/messages/{}-{request}", self.run)),
            (_, _) => ("POST", "/v1/messages".into()),
        }
    }

    /// The body of request number `request`, stamped with the time it is made.
    pub(crate) fn body(&self, request: u64, body: &mut Vec<u8>) {
        body.clear();
        let first = request * self.per_request;
        let numbers = first..self.messages.min(first + self.per_request);
        if self.contexts == 0 {
            write(body, format_args!("{{\"to\":{},\"strong\":[", self.servers(request)));
        } else if self.per_request > 1 {
            body.extend_from_slice(b"{\"messages\":[");
        }
        for number in numbers {
            if number > first {
                body.push(b',');
            }
            if self.contexts == 0 {
                self.item(number, body);
                continue;
            }
            body.push(b'{');
            if self.per_request > 1 {
                write(body, format_args!("\"id\":\"{}-{number}\",", self.run));
            }
            let context = self.context(request);
            write(body, format_args!("\"context\":\"{context}\",\"type\":\"m.text\",\"content\":"));
            self.item(number, body);
            body.push(b'}');
        }
        if self.contexts == 0 || self.per_request > 1 {
            body.extend_from_slice(b"]}");
        }
    }

    /// One update, or the content of one message.
    fn item(&self, number: u64, body: &mut Vec<u8>) {
        let (run, sent, start) = (&self.run, self.elapsed_ns(), body.len());
        write(
            body,
            format_args!(
                "{{\"update\":\"bench\",\"run\":\"{run}\",\"number\":{number},\"sent\":{sent},\
                 \"room\":\"#example.green\",\"sender\":\"@alice:green\",\"edited\":false,\"body\":\""
            ),
        );
        body.resize(body.len().max(start + self.size.saturating_sub(2)), PADDING);
        body.extend_from_slice(b"\"}");
    }
}

fn write(body: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    body.write_fmt(text).expect("memory takes what is written");
}

pub(crate) fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

pub(crate) fn needed(name: &str) -> Result<String, Failure> {
    Ok(option(name).ok_or(format!("{name} is missing"))?)
}

fn number<T: FromStr<Err: Display>>(name: &str, otherwise: T) -> Result<T, Failure> {
    let Some(text) = option(name) else { return Ok(otherwise) };
    Ok(text.parse().map_err(|error| format!("{name} {text}: {error}"))?)
}
