//! Settings with what is needed to read them again: their sources, and their values as they were written.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::settings::check::CheckReport;
use crate::settings::live::written::{SettingsDiff, WrittenValues};
use crate::settings::{SecretValue, Settings, SettingsProblems, Sources, layers};

/// Settings as they were read.
#[derive(Debug, Clone)]
pub struct LoadedSettings {
    /// The checked settings.
    pub settings: Settings,
    /// Values as they were written. Shared, because with thousands of peers each copy takes megabytes.
    pub written: Arc<WrittenValues>,
    /// Sources of the settings; `None`: they were made in memory, and cannot be read again.
    pub sources: Option<Sources>,
}

impl LoadedSettings {
    /// Reads and checks everything; an error contains all problems.
    pub fn read(sources: &Sources) -> Result<Self, SettingsProblems> {
        let mut found = CheckReport::default();
        let merged = layers::merge(sources, &mut found);
        let settings = Settings::check(&merged, sources, &mut found)?;
        Ok(Self { settings, written: Arc::new(WrittenValues::of(&merged)), sources: Some(sources.clone()) })
    }

    /// Returns settings that cannot be read again.
    pub fn in_memory(settings: Settings) -> Self {
        Self { settings, written: Arc::default(), sources: None }
    }

    /// Returns the keys in which a configuration that was read now differs from these settings, which are in use.
    pub fn diff(&self, read: &Self) -> SettingsDiff {
        let mut diff = SettingsDiff::between(&self.written, &read.written);
        let (used, new) = (&self.settings, &read.settings);
        let of_token = |token: &Option<SecretValue>| -> Vec<Zeroizing<Vec<u8>>> {
            token.iter().map(|token| Zeroizing::new(token.expose().as_bytes().to_vec())).collect()
        };
        let of_push = |settings: &Settings| -> Vec<Zeroizing<Vec<u8>>> {
            let secrets = settings.messenger.push.iter().flat_map(|push| &push.secrets);
            secrets.map(|secret| Zeroizing::new(secret.expose().to_vec())).collect()
        };
        let secrets = [
            (["messenger", "token"].as_slice(), of_token(&used.messenger.token), of_token(&new.messenger.token)),
            (&["messenger", "push", "secret"], of_push(used), of_push(new)),
            (&["admin", "token"], of_token(&used.admin.token), of_token(&new.admin.token)),
        ];
        for (key, used, new) in secrets {
            // The content of a file counts, not only its name.
            if used != new {
                let (name, table) = key.split_last().expect("a key has a segment");
                let of_file = format!("{name}_file");
                let is_file = read.written.has(&[table, &[of_file.as_str()]].concat());
                let key = if is_file { [table, &[of_file.as_str()]].concat().join(".") } else { key.join(".") };
                if !diff.restart.contains(&key) {
                    diff.restart.push(key);
                }
            }
        }
        // Values as they were written lack the tokens of the list, and the content of their files.
        let key = "admin.tokens".to_owned();
        if used.admin.tokens != new.admin.tokens && !diff.changed.contains(&key) {
            diff.changed.push(key);
        }
        diff
    }

    /// Returns these settings, which are in use, with the reloadable values of a configuration that was read now.
    #[must_use]
    pub fn adopting(&self, read: &Self) -> Self {
        Self {
            settings: self.settings.adopting(&read.settings),
            written: Arc::new(self.written.adopting(&read.written)),
            sources: self.sources.clone(),
        }
    }
}
