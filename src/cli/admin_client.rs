//! The client of the admin API: finds the gateway, makes calls, and explains failures.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reached_listener::ReachedListener;
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, Response};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::admin::server_header::SERVER;
use crate::api::errors::ErrorBody;
use crate::cli::ConfigSource;
use crate::http::json_error;
use crate::settings::{SecretValue, Settings, SettingsProblems, Sources};
use crate::terminal::exit_code::FINE;

pub(super) use super::failure::CommandFailure;

/// Timeout of a call, including its response.
const CALL: Duration = Duration::from_secs(60);

/// Maximum bytes of a response: a page, or one item.
const ANSWER_MAX: usize = 64 << 20;

/// Characters that are not encoded in a path, beside letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The selection of the gateway, and the output format.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    source: ConfigSource,
    /// Address of the gateway's admin API: http://127.0.0.1:9882, https://HOST:PORT or unix:/path; default: `admin.listen` of the
    /// configuration.
    #[arg(long, value_name = "URL")]
    admin: Option<String>,
    /// PEM file with the root of an https:// address; default: the system's roots, or the certificate of the configuration.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File with the admin token; default: the token of the configuration.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the response as JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// True if a gateway with another name than that of the configuration may answer.
    #[arg(skip)]
    any_server: bool,
}

/// A gateway's admin API.
pub(super) struct AdminClient {
    client: Client,
    base: String,
    token: Option<SecretValue>,
    /// Expected gateway, if a configuration names it.
    meant: Option<ExpectedServer>,
}

/// The gateway that a configuration is for.
struct ExpectedServer {
    server: String,
    file: String,
}

impl AdminArgs {
    /// Returns the problems of the configuration that names the gateway; `None` if it has none, cannot be read, or is not used.
    pub(super) fn configuration_problems(&self) -> Option<SettingsProblems> {
        if self.admin.is_some() {
            return None;
        }
        Settings::load(&self.source.sources()).err().filter(|problems| !problems.is_unread())
    }

    /// Accepts a gateway with another name, because a changed name waits for a restart.
    pub(super) fn for_any_server(self) -> Self {
        Self { any_server: true, ..self }
    }

    /// Returns the sources of the configuration.
    pub(super) fn sources(&self) -> Sources {
        self.source.sources()
    }

    /// Runs `work` with a client of the gateway, and prints a failure on stderr.
    pub(super) fn run(self, work: impl AsyncFnOnce(&AdminClient, bool) -> Result<u8, CommandFailure>) -> u8 {
        self.run_anyway(async move |gateway, json| work(&gateway?, json).await)
    }

    /// Runs `work` also if there is no client of the gateway, because the configuration cannot be used.
    pub(super) fn run_anyway(
        self,
        work: impl AsyncFnOnce(Result<AdminClient, CommandFailure>, bool) -> Result<u8, CommandFailure>,
    ) -> u8 {
        let json = self.json;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(work(self.gateway(), json)),
            Err(error) => {
                Err(CommandFailure::Broken { code: "RUNTIME", words: format!("the runtime cannot start: {error}") })
            }
        };
        done.unwrap_or_else(|failure| failure.tell(json))
    }

    fn gateway(self) -> Result<AdminClient, CommandFailure> {
        let token = self.token_file.map(|file| {
            let read = std::fs::read_to_string(&file).map(Zeroizing::new);
            let unreadable = |error| CommandFailure::Misused(format!("--token-file {}: {error}", file.display()));
            read.map(|text| SecretValue::from(text.trim())).map_err(unreadable)
        });
        let token = token.transpose()?;
        if let Some(url) = self.admin {
            let (client, base) = ReachedListener::of_url(&url, self.ca.as_deref())?.client()?;
            return Ok(AdminClient { client, base, token, meant: None });
        }
        let file = self.source.config.display().to_string();
        let settings = self.source.load().map_err(|problems| {
            CommandFailure::Settings(format!(
                "{problems}\nthis command reads the gateway's address from {file}; use --config FILE or --admin URL to name \
                 another one"
            ))
        })?;
        let any_server = self.any_server;
        let configured = AdminClient::of(&settings, file, self.ca.as_deref())?;
        let meant = configured.meant.filter(|_| !any_server);
        Ok(AdminClient { token: token.or(configured.token), meant, ..configured })
    }
}

impl AdminClient {
    /// Returns the client of the gateway that this configuration, read from `file`, is for.
    pub(super) fn configured(settings: &Settings, file: String) -> Result<Self, CommandFailure> {
        Self::of(settings, file, None)
    }

    fn of(settings: &Settings, file: String, ca: Option<&Path>) -> Result<Self, CommandFailure> {
        let meant = Some(ExpectedServer { server: settings.server.name.to_string(), file });
        let admin = &settings.admin;
        let (client, base) = ReachedListener::configured(("admin", &admin.listen, &admin.tls), ca)?.client()?;
        Ok(Self { client, base, token: admin.strongest_token().cloned(), meant })
    }

    /// Sends a GET and returns the response.
    pub(super) async fn get(&self, path: &str) -> Result<String, CommandFailure> {
        self.call(Method::GET, &admin_path(path), String::new()).await.and_then(|answer| self.success(answer))
    }

    /// Sends a POST and returns the response.
    pub(super) async fn post(&self, path: &str, body: String) -> Result<String, CommandFailure> {
        self.call(Method::POST, &admin_path(path), body).await.and_then(|answer| self.success(answer))
    }

    /// Sends a POST whose refusal (422) is a report like its success, and returns the report.
    pub(super) async fn post_for_report(&self, path: &str) -> Result<String, CommandFailure> {
        match self.call(Method::POST, &admin_path(path), String::new()).await? {
            (422, report) => Ok(report),
            answer => self.success(answer),
        }
    }

    /// Returns the report of a health check, which is one also if the gateway is not ready (503).
    pub(super) async fn health(&self, path: &str) -> Result<String, CommandFailure> {
        match self.call(Method::GET, path, String::new()).await? {
            (503, report) => Ok(report),
            answer => self.success(answer),
        }
    }

    /// Sends a request, and returns the status and the body of the answer.
    async fn call(&self, method: Method, path: &str, body: String) -> Result<(u16, String), CommandFailure> {
        let Self { client, base, token, meant } = self;
        let mut request = client.request(method, format!("{base}{path}")).body(body).timeout(CALL);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(ExpectedServer { server, .. }) = meant {
            // Another gateway at this address must refuse the call.
            request = request.header(SERVER.as_str(), server);
        }
        let response = request.send().await.map_err(|error| self.silent(&error))?;
        self.is_meant(&response)?;
        let status = response.status().as_u16();
        Ok((status, self.text(response).await?))
    }

    fn success(&self, (status, text): (u16, String)) -> Result<String, CommandFailure> {
        let base = &self.base;
        match status {
            200..300 => Ok(text),
            401 => Err(CommandFailure::Refused {
                code: "UNAUTHENTICATED".to_owned(),
                words: format!(
                    "the gateway at {base} rejected the token; see admin.token_file, or use --token-file FILE"
                ),
            }),
            _ => Err(match serde_json::from_str::<ErrorBody>(&text) {
                Ok(ErrorBody { error, code, .. }) => CommandFailure::Refused { code, words: error },
                Err(_) => self.odd(&format!("it answered with status {status}")),
            }),
        }
    }

    /// Checks that the response is from the gateway of the configuration.
    fn is_meant(&self, response: &Response) -> Result<(), CommandFailure> {
        let (Some(ExpectedServer { server, file }), Some(name)) =
            (&self.meant, response.headers().get(SERVER.as_str()))
        else {
            return Ok(());
        };
        if name.as_bytes() == server.as_bytes() {
            return Ok(());
        }
        Err(CommandFailure::Another(format!(
            "the gateway at {} is {}, but {file} is for {server}; check admin.listen in that file, or use --admin URL",
            self.base,
            String::from_utf8_lossy(name.as_bytes())
        )))
    }

    async fn text(&self, mut response: Response) -> Result<String, CommandFailure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.silent(&error))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(self.odd(&format!("its answer has more than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| self.odd("its answer is not UTF-8"))
    }

    fn silent(&self, error: &reqwest::Error) -> CommandFailure {
        let base = &self.base;
        CommandFailure::Silent(if error.is_timeout() {
            format!("the gateway at {base} did not answer in time; see its log and {base}/health/ready")
        } else {
            format!("no gateway answers at {base}; start it (`fernpost serve`), or use --admin URL to name another one")
        })
    }

    fn odd(&self, what: &str) -> CommandFailure {
        CommandFailure::Odd(format!("the service at {} is not a gateway of this version: {what}", self.base))
    }

    /// Parses the JSON of a response.
    pub(super) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T, CommandFailure> {
        json_error::object(text.as_bytes()).map_err(|why| self.odd(&why))
    }
}

/// Returns the path of a call of the admin API.
fn admin_path(path: &str) -> String {
    format!("/admin/v1{path}")
}

/// Prints a response as received.
pub(super) fn print_json(answer: &str) -> u8 {
    super::print_json(answer, FINE)
}

/// Encodes one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Returns the query string of the pairs that have a value.
pub(super) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut query = String::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            let mark = if query.is_empty() { '?' } else { '&' };
            // Writing to a string cannot fail.
            let _ = write!(query, "{mark}{key}={}", segment(value));
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_percent_encoded() {
        let pairs = [("server", None), ("after", Some("a/in:7".to_owned())), ("limit", Some("9".to_owned()))];
        assert_eq!(query(&pairs), "?after=a%2Fin%3A7&limit=9");
        assert_eq!(query(&[]), "");
        assert_eq!(segment("[::1]:9880"), "%5B%3A%3A1%5D%3A9880");
    }
}
