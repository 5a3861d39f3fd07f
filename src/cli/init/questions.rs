//! The questions of `fernpost init`: from the terminal, or line by line from any other input.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};

use crate::cli::failure::CommandFailure;
use crate::cli::init::answers::{self, CertificateAnswer, InitAnswers, NONE, PairFiles, PublicAddress, UrlAnswer};
use crate::cli::init::options::InitOptions;
use crate::terminal::output::remark;

/// Asks what no option answers.
pub(super) fn ask(options: InitOptions, dir: &Path) -> Result<InitAnswers, CommandFailure> {
    let mut asker = if options.yes || options.json { QuestionAsker::silent() } else { QuestionAsker::start()? };
    let name =
        asker.answer(options.name, "--name", "Name of this server, as peers know it (a domain of yours)", None)?;
    let suggested = PublicAddress { host: name.host().to_owned(), port: port_of(name.as_str()) }.to_string();
    let question = "Host and port at which peers reach it";
    let reached_at = asker.answer(options.reached_at, "--reached-at", question, Some(&suggested))?;
    let suggested = certbot_file(&reached_at.host);
    let question = "Certificate of that name (PEM file), or \"none\" behind a reverse proxy on this machine";
    let suggested = suggested.as_ref().map_or(NONE, String::as_str);
    let CertificateAnswer(cert) = asker.answer(options.certificate, "--certificate", question, Some(suggested))?;
    let question = "URL that events are pushed to, or \"none\" if your messenger reads them";
    let UrlAnswer(push) = asker.answer(options.push, "--push", question, Some(NONE))?;
    let certificate = cert.map(|cert| {
        let key = answers::key_of(&cert, options.key.clone()).map_err(CommandFailure::Misused)?;
        Ok::<_, CommandFailure>(PairFiles { cert, key })
    });
    let certificate = certificate.transpose()?;
    let data_dir = options.data_dir.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
    let usual = || if dir.starts_with("/etc") { PathBuf::from("/var/lib/fernpost") } else { dir.join("data") };
    Ok(InitAnswers {
        listen: answers::listener(options.listen, certificate.is_some(), reached_at.port),
        name,
        reached_at,
        certificate,
        push,
        dir: dir.to_owned(),
        data_dir: data_dir.unwrap_or_else(usual),
        messenger: options.messenger,
        admin: options.admin,
    })
}

/// Returns the port of a server name that states one.
fn port_of(name: &str) -> u16 {
    name.parse::<PublicAddress>().map_or(answers::DEFAULT_PORT, |address| address.port)
}

/// Returns the certificate that certbot keeps for a host, if there is one.
fn certbot_file(host: &str) -> Option<String> {
    let file = Path::new("/etc/letsencrypt/live").join(host).join("fullchain.pem");
    file.is_file().then(|| file.display().to_string())
}

/// Asks questions, unless it is silent.
struct QuestionAsker(Option<Editor<(), MemHistory>>);

impl QuestionAsker {
    fn silent() -> Self {
        Self(None)
    }

    fn start() -> Result<Self, CommandFailure> {
        let config = Config::default();
        let history = MemHistory::with_config(&config);
        Editor::with_history(config, history).map(|editor| Self(Some(editor))).map_err(|error| broken(&error))
    }

    /// Returns the answer of the option, else that of the operator, who is asked again until it is valid; an empty one means the
    /// suggested answer.
    fn answer<T: FromStr<Err: ToString>>(
        &mut self,
        given: Option<T>,
        option: &str,
        question: &str,
        suggested: Option<&str>,
    ) -> Result<T, CommandFailure> {
        if let Some(answer) = given {
            return Ok(answer);
        }
        let missing = || CommandFailure::Misused(format!("not answered: {question}; use {option}"));
        let Some(editor) = &mut self.0 else {
            let read = suggested.ok_or_else(missing)?.parse::<T>();
            return read.map_err(|why| CommandFailure::Misused(format!("{option}: {}", why.to_string())));
        };
        let prompt = suggested.map_or_else(|| format!("{question}: "), |answer| format!("{question} [{answer}]: "));
        loop {
            if !std::io::stdin().is_terminal() {
                remark!("{}", prompt.trim_end());
            }
            let line = match editor.readline(&prompt) {
                Ok(line) => line,
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Err(missing()),
                Err(error) => return Err(broken(&error)),
            };
            let answer = match (line.trim(), suggested) {
                ("", Some(suggested)) => suggested,
                ("", None) => continue,
                (answer, _) => answer,
            };
            match answer.parse() {
                Ok(answer) => return Ok(answer),
                Err(why) => remark!("  {}", why.to_string()),
            }
        }
    }
}

fn broken(error: &ReadlineError) -> CommandFailure {
    CommandFailure::Broken { code: "TERMINAL", words: format!("the questions cannot be asked: {error}; use options") }
}
