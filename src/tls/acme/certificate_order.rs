//! One order: from the names to a chain of certificates and its key.

use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::tls::acme::account_file::{self, AccountError};
use crate::tls::acme::dns_hook::{HookError, HookTask};
use crate::tls::acme::http_answers::HttpAnswers;
use crate::tls::acme::issued_pair::{IssuedPair, IssuedPairError};
use crate::tls::acme::options::{AcmeOptions, ChallengeAnswer};
use crate::tls::key_pair::KeyPairFiles;

/// Everything that an order needs.
#[derive(Debug, Clone)]
pub(super) struct OrderParts {
    pub(super) options: AcmeOptions,
    /// Names of the certificate.
    pub(super) names: Vec<String>,
    /// Answers that the listener of "http-01" gives.
    pub(super) answers: HttpAnswers,
    /// Folder of the account.
    pub(super) data_dir: PathBuf,
    /// Files that key and chain are written to.
    pub(super) files: KeyPairFiles,
}

/// Error: no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// There is no account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The authority refuses a request.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// The authority offers no challenge of the configured kind.
    #[error("the authority offers no {kind} challenge for {name}; set federation.acme.challenge to another kind")]
    NoChallenge { kind: &'static str, name: String },
    /// The authority does not believe that a name is ours.
    #[error("the authority does not accept the proof for {name}: {why}; {advice}")]
    NotProved { name: String, why: String, advice: &'static str },
    /// The operator's program failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The order did not end in time.
    #[error("the order did not end within federation.acme.timeout = {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// The issued pair cannot be used or written.
    #[error(transparent)]
    Pair(#[from] IssuedPairError),
}

/// A TXT record that was published.
struct PublishedRecord {
    name: String,
    value: String,
}

impl OrderParts {
    /// Orders a certificate and writes its files. Published answers are removed in the end, whatever the outcome.
    pub(super) async fn order(&self) -> Result<(), OrderError> {
        let mut records = Vec::new();
        let ordered = timeout(self.options.timeout, self.issue(&mut records)).await;
        self.answers.clear();
        if let ChallengeAnswer::Dns(hook) = &self.options.answer {
            for PublishedRecord { name, value } in records {
                if let Err(error) = hook.run(HookTask::Clear, &name, &value).await {
                    tracing::warn!(%name, %error, "the TXT record of an order was not removed");
                }
            }
        }
        let pair = ordered.map_err(|_| OrderError::TimedOut(self.options.timeout))??;
        Ok(pair.write(&self.data_dir, &self.files)?)
    }

    async fn issue(&self, records: &mut Vec<PublishedRecord>) -> Result<IssuedPair, OrderError> {
        let account: Account = account_file::open(&self.data_dir, &self.options).await?;
        let identifiers: Vec<Identifier> = self.names.iter().map(|name| identifier(name)).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        self.answer_challenges(&mut order, records).await?;
        let retries = RetryPolicy::default().timeout(self.options.timeout);
        match order.poll_ready(&retries).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(self.refusal(&mut order).await.unwrap_or(no_reason())),
            Err(error) => return Err(self.refusal(&mut order).await.unwrap_or(error.into())),
        }
        let key = Zeroizing::new(order.finalize().await?);
        Ok(IssuedPair { key, chain: order.poll_certificate(&retries).await? })
    }

    async fn answer_challenges(&self, order: &mut Order, records: &mut Vec<PublishedRecord>) -> Result<(), OrderError> {
        let (kind, word) = self.kind();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            // A proof of an earlier order may still count.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let mut challenge =
                authorization.challenge(kind.clone()).ok_or(OrderError::NoChallenge { kind: word, name })?;
            let answer = challenge.key_authorization();
            match &self.options.answer {
                ChallengeAnswer::Http { .. } => self.answers.publish(&challenge.token, answer.as_str()),
                ChallengeAnswer::Dns(hook) => {
                    let name = format!("_acme-challenge.{}", challenge.identifier());
                    let record = PublishedRecord { name: name.replace("*.", ""), value: answer.dns_value() };
                    hook.run(HookTask::Set, &record.name, &record.value).await?;
                    records.push(record);
                }
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// Returns the first challenge that failed, with the authority's reason.
    async fn refusal(&self, order: &mut Order) -> Option<OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let name = authorization.identifier().to_string();
            let Ok(state) = authorization.refresh().await else { continue };
            let failed = state.challenges.iter().find(|challenge| challenge.status == ChallengeStatus::Invalid);
            if let Some(problem) = failed.and_then(|challenge| challenge.error.as_ref()) {
                let why = problem.detail.clone().unwrap_or_else(|| problem.to_string());
                let advice = match self.options.answer {
                    ChallengeAnswer::Http { .. } => {
                        "port 80 of the name must lead to federation.acme.http_listen, from everywhere"
                    }
                    ChallengeAnswer::Dns(_) => "federation.acme.dns_hook must return after the record can be looked up",
                };
                return Some(OrderError::NotProved { name, why, advice });
            }
        }
        None
    }

    const fn kind(&self) -> (ChallengeType, &'static str) {
        match self.options.answer {
            ChallengeAnswer::Http { .. } => (ChallengeType::Http01, "http-01"),
            ChallengeAnswer::Dns(_) => (ChallengeType::Dns01, "dns-01"),
        }
    }
}

fn no_reason() -> OrderError {
    OrderError::Authority("the order is invalid, and the authority gives no reason".into())
}

fn identifier(name: &str) -> Identifier {
    match name.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(name.to_owned()),
    }
}
