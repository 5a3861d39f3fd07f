//! `fernpost check keys`: the signing keys of this server, the pinned or published keys of its peers, and the key directory that a running
//! gateway serves.

use std::collections::BTreeSet;
use std::time::Duration;

use actors::model::ServerName;
use actors::ports::PeerConfig;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;

use crate::api::checks::CheckFinding;
use crate::app::SystemClock;
use crate::app::peer_explainer::{PeerExplainer, fixes, listed_ids};
use crate::cli::reached_listener::ReachedListener;
use crate::identity::key_directory::KEY_DIRECTORY_PATH;
use crate::identity::key_folder::{KeyFolder, KeyFolderError};
use crate::identity::key_ring::{KeyRing, KeyState, StoredKey};
use crate::identity::public_key::PeerKeys;
use crate::settings::{ListenTarget, Settings};

const CHECK: &str = "keys";

/// Maximum number of peers that are asked at the same time.
const AT_ONCE: usize = 16;

/// Maximum time of the request for the key directory: the gateway is on this machine or near.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the findings about all keys. Malformed pinned keys are problems of the configuration.
pub(super) async fn findings(settings: &Settings) -> Vec<CheckFinding> {
    let folder = KeyFolder::in_data_dir(&settings.server.data_dir);
    let mut found = vec![];
    match folder.load(settings.server.allow_open_secrets) {
        Ok((ring, open)) => {
            let warnings =
                open.iter().map(|error| CheckFinding { ok: true, level: "warning".into(), ..of_error(&folder, error) });
            found.extend(warnings);
            found.extend(own_keys(&folder, &ring));
            found.push(directory(settings, &ring).await);
        }
        Err(error) => found.push(of_error(&folder, &error)),
    }
    found.extend(peer_keys(settings).await);
    found
}

fn own_keys(folder: &KeyFolder, ring: &KeyRing) -> Vec<CheckFinding> {
    let path = folder.path().display();
    if ring.keys().is_empty() {
        let words = "there is no signing key yet; `fernpost serve` makes the first one";
        return vec![CheckFinding::warning(CHECK, path.to_string(), words)];
    }
    let states = ring.states(SystemClock::time());
    let row = |(key, state): (&StoredKey, KeyState)| {
        let (id, public) = (key.key.id(), key.key.public().to_base64());
        CheckFinding::info(CHECK, id.to_string(), format!("a signing key of this server, {}: {public}", state.as_str()))
    };
    states.map(row).collect()
}

fn of_error(folder: &KeyFolder, error: &KeyFolderError) -> CheckFinding {
    let (path, code, fix) = match error {
        KeyFolderError::OpenMode { path, .. } => (path, "OPEN_MODE", Some(format!("chmod 600 {}", path.display()))),
        KeyFolderError::OpenFolder { path, .. } => (path, "OPEN_MODE", Some(format!("chmod 700 {}", path.display()))),
        KeyFolderError::Malformed { path, .. } => (path, "BAD_KEY", None),
        KeyFolderError::Io { path, .. } => (path, "KEYS", None),
        KeyFolderError::Exists(_) | KeyFolderError::TooMany { .. } | KeyFolderError::NoRandom(_) => {
            (&folder.path().to_owned(), "KEYS", None)
        }
    };
    let finding = CheckFinding::error(CHECK, path.display().to_string(), error.to_string()).with_code(code);
    match fix {
        Some(fix) => finding.with_fix(fix),
        None => finding,
    }
}

/// Returns a finding for each peer that signs its requests: its pinned keys, or those that it publishes.
async fn peer_keys(settings: &Settings) -> Vec<CheckFinding> {
    let keys_of = |server| Some((server, settings.peers.signature_keys(server)?));
    let listed = settings.peers.listed();
    let signing: Vec<(&ServerName, PeerKeys)> = listed.iter().filter_map(keys_of).collect();
    let explainer = match PeerExplainer::new(settings) {
        Ok(explainer) => explainer,
        Err(error) => return vec![CheckFinding::error(CHECK, "network.roots", error.to_string())],
    };
    let asked = signing.into_iter().map(|(server, pinned)| keys_of_peer(&explainer, server, pinned));
    stream::iter(asked).buffered(AT_ONCE).collect().await
}

async fn keys_of_peer(explainer: &PeerExplainer, server: &ServerName, pinned: PeerKeys) -> CheckFinding {
    if !pinned.is_empty() {
        let words = format!("pinned keys of this peer: {}", listed_ids(&pinned));
        return CheckFinding::info(CHECK, server.as_str(), words);
    }
    match explainer.published_keys(server).await {
        Ok(keys) => {
            CheckFinding::info(CHECK, server.as_str(), format!("published keys of this peer: {}", listed_ids(&keys)))
        }
        Err(why) => {
            let finding = CheckFinding::error(CHECK, server.as_str(), why).with_code("KEY_NOT_FOUND");
            finding.with_fix(fixes::of_directory(server))
        }
    }
}

/// The key directory, as far as it is compared.
#[derive(Deserialize)]
struct ServedDirectory {
    keys: Vec<ServedKey>,
}

#[derive(Deserialize)]
struct ServedKey {
    kid: String,
}

/// Asks the gateway of this configuration for its key directory. One that does not run is no error.
async fn directory(settings: &Settings, ring: &KeyRing) -> CheckFinding {
    let federation = &settings.federation;
    let listen = ListenTarget::Tcp(federation.listen);
    let url = format!("federation.listen = {listen}");
    let reached = ReachedListener::configured(("federation", &listen, &federation.tls), None);
    let (client, base) = match reached.and_then(ReachedListener::client) {
        Ok(reached) => reached,
        Err(failure) => return CheckFinding::error(CHECK, url, failure.to_string()).with_code("NO_DIRECTORY"),
    };
    let served = match fetch(&client, &format!("{base}{KEY_DIRECTORY_PATH}")).await {
        Ok(served) => served,
        Err(error) if error.is_connect() || error.is_timeout() => {
            return CheckFinding::warning(CHECK, url, "no gateway answers there, so its key directory is not checked");
        }
        Err(error) => {
            let words = format!("the key directory is not served: {}", error.without_url());
            return CheckFinding::error(CHECK, url, words).with_code("NO_DIRECTORY");
        }
    };
    let served: BTreeSet<&str> = served.keys.iter().map(|key| key.kid.as_str()).collect();
    let own: BTreeSet<&str> = ring.keys().iter().map(|key| key.key.id().as_str()).collect();
    if served == own {
        return CheckFinding::info(CHECK, url, "the key directory has all signing keys");
    }
    let shown = |ids: BTreeSet<&str>| ids.into_iter().collect::<Vec<_>>().join(", ");
    let words = format!("the key directory has the keys {}, but the folder has {}", shown(served), shown(own));
    CheckFinding::error(CHECK, url, words).with_code("OTHER_KEYS").with_fix("run `fernpost reload`")
}

async fn fetch(client: &reqwest::Client, url: &str) -> reqwest::Result<ServedDirectory> {
    let answer = client.get(url).timeout(DIRECTORY_TIMEOUT).send().await?.error_for_status()?;
    let body = answer.bytes().await?;
    // A body that is no directory has no keys, and is reported as one that has others.
    Ok(serde_json::from_slice(&body).unwrap_or(ServedDirectory { keys: vec![] }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::settings::Sources;

    fn settings(folder: &tempfile::TempDir) -> Settings {
        // Nothing listens on the port of discard.
        let text = "server.name = \"red\"\nfederation.listen = \"127.0.0.1:9\"\n";
        Settings::load(&Sources::text(text, folder.path())).unwrap_or_else(|problems| panic!("{problems}"))
    }

    async fn levels(settings: &Settings) -> Vec<(String, Option<String>)> {
        let found = findings(settings).await.into_iter();
        found.map(|finding| (finding.level.into_owned(), finding.code.map(|code| code.into_owned()))).collect()
    }

    #[tokio::test]
    async fn own_keys_are_examined() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = settings(&folder);
        let warning = ("warning".to_owned(), None);
        assert_eq!(levels(&settings).await, [warning.clone(), warning.clone()], "no key, no gateway");
        let keys = KeyFolder::in_data_dir(&settings.server.data_dir);
        let now = SystemClock::time();
        keys.create(None, now, now).expect("a writable folder");
        assert_eq!(levels(&settings).await, [("info".to_owned(), None), warning]);
        let file = keys.path().join("1.key");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("it is ours");
        assert_eq!(levels(&settings).await, [("error".to_owned(), Some("OPEN_MODE".to_owned()))]);
        let found = findings(&settings).await;
        assert_eq!(found[0].fix, Some(format!("chmod 600 {}", file.display())));
    }
}
