//! `fernpost join-token new`: prints the line for the operator of another server.

use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::app::SystemClock;
use crate::cli::failure::CommandFailure;
use crate::cli::{ConfigSource, print, print_json, remark};
use crate::egress::PeerAddress;
use crate::identity::join_token::{ADDRESSES_MAX, JoinAuth, JoinOffer, LIFETIME_MAX};
use crate::identity::key_folder::KeyFolder;
use crate::settings::Settings;
use crate::terminal::exit_code::FINE;
use crate::tls::certificate::PresentedCertificate;

/// Arguments of `join-token new`.
#[derive(Debug, Args)]
pub(in crate::cli) struct OfferOptions {
    /// Time for which the line can be used; seven days at most.
    #[arg(long, default_value = "1h", value_parser = lifetime)]
    valid: Duration,
    /// URL at which the other server reaches this one, as often as needed; without any, it finds this one by its name.
    #[arg(long = "address", value_name = "URL", value_parser = address)]
    addresses: Vec<String>,
    /// Authentication that both servers use: signatures of requests, or certificates whose public keys are pinned.
    #[arg(long, value_enum, default_value = "signature")]
    auth: OfferedAuth,
    /// Print the line and its end as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: ConfigSource,
}

/// Values of `--auth`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OfferedAuth {
    Signature,
    Mtls,
}

/// The answer of the command.
#[derive(Debug, Serialize)]
struct OfferedToken {
    server: String,
    token: String,
    expires: String,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match lifetime {
        Duration::ZERO => Err("a line that is valid for no time cannot be used".to_owned()),
        lifetime if lifetime > LIFETIME_MAX => Err("a line is valid for seven days at most".to_owned()),
        lifetime => Ok(lifetime),
    }
}

fn address(text: &str) -> Result<String, String> {
    text.parse::<PeerAddress>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Prints the line and returns the exit code.
pub(super) fn run(options: OfferOptions) -> u8 {
    let (json, auth) = (options.json, options.auth);
    match offer(options) {
        Ok(offered) if json => print_json(&serde_json::to_string(&offered).expect("texts always serialize"), FINE),
        Ok(offered) => {
            let OfferedToken { server, token, expires } = offered;
            let code = print(&format!("{token}\n"), FINE);
            remark!(
                "Send this line to the operator of the other server, on a way that you trust. It is valid until {expires}."
            );
            remark!(
                "There: fernpost join-token use LINE. Here, with the line that comes back, the same; it says when {server} is connected."
            );
            if matches!(auth, OfferedAuth::Mtls) {
                remark!("The other operator uses --auth mtls for that line, too.");
            }
            code
        }
        Err(failure) => failure.tell(json),
    }
}

fn offer(options: OfferOptions) -> Result<OfferedToken, CommandFailure> {
    let OfferOptions { valid, addresses, auth, source, .. } = options;
    if addresses.len() > ADDRESSES_MAX {
        return Err(CommandFailure::Misused(format!("a line has room for {ADDRESSES_MAX} addresses")));
    }
    let settings = source.load().map_err(|problems| CommandFailure::from(&problems))?;
    let folder = KeyFolder::in_data_dir(&settings.server.data_dir);
    let loaded = folder.load(settings.server.allow_open_secrets);
    let (ring, _) = loaded.map_err(|error| CommandFailure::Wrong { code: "KEYS", words: error.to_string() })?;
    let certificate = certificate(&settings)?;
    let auth = match (auth, &certificate) {
        (OfferedAuth::Signature, _) => JoinAuth::Signature,
        (OfferedAuth::Mtls, Some(_)) => JoinAuth::Mtls,
        (OfferedAuth::Mtls, None) => {
            let words = "--auth mtls needs a certificate, and federation.tls is not set".to_owned();
            return Err(CommandFailure::Wrong { code: "NO_CERTIFICATE", words });
        }
    };
    let now = SystemClock::time();
    let expires = whole_seconds(now + valid);
    let server = settings.server.name.clone();
    let fingerprint = certificate.map(|certificate| certificate.pin());
    let offer = JoinOffer { server, addresses, auth, keys: ring.public_keys(), fingerprint, expires };
    let token = offer.signed_by(&ring, now).map_err(|error| CommandFailure::Wrong {
        code: "NO_KEY",
        words: format!("{error}; `fernpost keys new` makes one, and so does the first start"),
    })?;
    let expires = humantime::format_rfc3339_seconds(expires).to_string();
    Ok(OfferedToken { server: offer.server.to_string(), token, expires })
}

/// Returns the certificate of the listener for peers, if it has one.
fn certificate(settings: &Settings) -> Result<Option<PresentedCertificate>, CommandFailure> {
    let Some(files) = &settings.federation.tls else { return Ok(None) };
    let broken = |words: String| CommandFailure::Broken { code: "CERTIFICATE", words };
    let leaf = files.load_certificate().map_err(|error| broken(error.to_string()))?;
    let parsed = PresentedCertificate::parse(vec![leaf]);
    parsed.map(Some).map_err(|fault| broken(format!("{}: {fault}", files.cert.display())))
}

/// Returns the time in whole seconds, as the line states it.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
