//! The sessions of operators who have logged in, in memory: few, and each for a limited time.

use std::sync::Arc;
use std::time::Duration;

use actors::model::Millis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::settings::SecretValue;

/// Maximum number of sessions; the oldest one ends for a new one.
const SESSIONS_MAX: usize = 32;

/// Time after which a session ends.
pub(super) const SESSION_TIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Bytes of chance in a text that nobody can guess.
const RANDOM_BYTES: usize = 32;

/// Returns a text that nobody can guess.
pub(super) fn random_text() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the system has chance");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The sessions. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SessionTable(Arc<Mutex<Vec<LoginSession>>>);

/// A session.
struct LoginSession {
    /// Digest of the cookie's value, so that the memory of the process has no valid cookie.
    digest: [u8; 32],
    form_token: String,
    /// The token that was given, because it is checked again at each request.
    credential: SecretValue,
    end: Millis,
}

fn digest(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

impl SessionTable {
    /// Begins a session for the holder of this token, and returns the value of its cookie.
    pub(super) fn begin(&self, credential: SecretValue, now: Millis) -> String {
        let cookie = random_text();
        let end = Millis(now.0.saturating_add(SESSION_TIME.as_millis() as u64));
        let mut sessions = self.0.lock();
        sessions.retain(|session| session.end > now);
        if sessions.len() >= SESSIONS_MAX {
            sessions.remove(0);
        }
        sessions.push(LoginSession { digest: digest(&cookie), form_token: random_text(), credential, end });
        cookie
    }

    /// Returns the token of the forms of a session, and the token with which it began; `None`: there is no such session.
    pub(super) fn find(&self, cookie: &str, now: Millis) -> Option<(String, SecretValue)> {
        let digest = digest(cookie);
        let sessions = self.0.lock();
        let found = sessions.iter().find(|session| bool::from(session.digest.ct_eq(&digest)) && session.end > now)?;
        Some((found.form_token.clone(), found.credential.clone()))
    }

    /// Ends a session.
    pub(super) fn end(&self, cookie: &str) {
        let digest = digest(cookie);
        self.0.lock().retain(|session| session.digest != digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(sessions: &SessionTable, now: u64) -> String {
        sessions.begin(SecretValue::from("sesame"), Millis(now))
    }

    #[test]
    fn session_ends_with_its_time() {
        let sessions = SessionTable::default();
        let cookie = begin(&sessions, 1_000);
        let end = 1_000 + SESSION_TIME.as_millis() as u64;
        let found = |now: u64| sessions.find(&cookie, Millis(now)).is_some();
        assert_eq!([found(1_000), found(end - 1), found(end)], [true, true, false]);
        assert!(sessions.find("guess", Millis(1_000)).is_none());
        sessions.end(&cookie);
        assert!(!found(1_000));
    }

    #[test]
    fn oldest_session_ends_for_new() {
        let sessions = SessionTable::default();
        let cookies: Vec<String> = (0..=SESSIONS_MAX as u64).map(|now| begin(&sessions, now)).collect();
        let is_there: Vec<bool> = cookies.iter().map(|cookie| sessions.find(cookie, Millis(99)).is_some()).collect();
        assert_eq!((is_there[0], is_there[1..].iter().all(|there| *there)), (false, true));
        assert_eq!(sessions.0.lock().len(), SESSIONS_MAX);
    }
}
