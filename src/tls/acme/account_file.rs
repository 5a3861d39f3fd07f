//! The account at the authority, in a file of the data folder.

use std::io;
use std::path::{Path, PathBuf};

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::runtime::new_file::{self, ExistingFile};
use crate::tls::acme::directory_client::{DirectoryClient, DirectoryClientError};
use crate::tls::acme::options::AcmeOptions;

/// Name of the file.
const NAME: &str = "acme-account.json";

/// The file: an account belongs to one authority.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    directory: String,
    credentials: AccountCredentials,
}

/// Error: there is no account to order with.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file holds something else.
    #[error("{} holds no account: {source}; move it away, and a new account is made", .path.display())]
    Content { path: PathBuf, source: serde_json::Error },
    /// The client cannot be set up.
    #[error(transparent)]
    Client(#[from] DirectoryClientError),
    /// The authority gave no account.
    #[error("the authority gives no account: {0}")]
    Authority(#[from] instant_acme::Error),
}

/// Returns the account of this data folder at the authority; the first call makes one.
pub(super) async fn open(data_dir: &Path, options: &AcmeOptions) -> Result<Account, AccountError> {
    let path = data_dir.join(NAME);
    let failed = |source| AccountError::File { path: path.clone(), source };
    let client = || DirectoryClient::new(&options.roots).map(|client| Account::builder_with_http(Box::new(client)));
    let stored = match std::fs::read(&path).map(Zeroizing::new) {
        Ok(text) => {
            let content = |source| AccountError::Content { path: path.clone(), source };
            Some(serde_json::from_slice::<StoredAccount>(&text).map_err(content)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    if let Some(stored) = stored.filter(|stored| stored.directory == options.directory.as_str()) {
        return Ok(client()?.from_credentials(stored.credentials).await?);
    }
    let contact: Vec<&str> = options.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let directory = options.directory.to_string();
    let (account, credentials) = client()?.create(&new, directory.clone(), None).await?;
    let stored = StoredAccount { directory, credentials };
    let text = serde_json::to_vec(&stored).map(Zeroizing::new);
    let text = text.map_err(|source| AccountError::Content { path: path.clone(), source })?;
    new_file::write(&path, &text, 0o600, ExistingFile::Replace).map_err(failed)?;
    Ok(account)
}
