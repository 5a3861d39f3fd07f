//! Runs the operator's program that publishes the TXT records of "dns-01".

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::tls::acme::options::DnsHook;

/// Maximum characters of the program's own words that are told.
const WORDS_MAX: usize = 300;

/// The work of the program, which is its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HookTask {
    /// Publish a record, and return when the name servers of the zone answer with it.
    Set,
    /// Remove a record.
    Clear,
}

/// Error: the program did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    /// It cannot be started.
    #[error("federation.acme.dns_hook = {program}: {source}; it must be a program that this user may run")]
    Start { program: String, source: std::io::Error },
    /// It failed.
    #[error("federation.acme.dns_hook = {program}: {status}: {words}")]
    Failed { program: String, status: ExitStatus, words: String },
    /// It did not end in time.
    #[error("federation.acme.dns_hook = {program}: it did not end within federation.acme.hook_timeout = {}", humantime::format_duration(*.time))]
    TimedOut { program: String, time: Duration },
}

impl DnsHook {
    /// Runs the program with the task, the name of the record and its value, and waits for its end.
    pub(super) async fn run(&self, task: HookTask, name: &str, value: &str) -> Result<(), HookError> {
        let program = self.program.display().to_string();
        let mut command = Command::new(&self.program);
        command.arg(if task == HookTask::Set { "set" } else { "clear" }).args([name, value]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let ended = match timeout(self.timeout, command.output()).await {
            Err(_) => return Err(HookError::TimedOut { program, time: self.timeout }),
            Ok(Err(source)) => return Err(HookError::Start { program, source }),
            Ok(Ok(ended)) => ended,
        };
        match ended.status.success() {
            true => Ok(()),
            false => {
                let words = String::from_utf8_lossy(&ended.stderr);
                let words = words.trim().chars().take(WORDS_MAX).collect();
                Err(HookError::Failed { program, status: ended.status, words })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn hook(folder: &Path, text: &str) -> DnsHook {
        let program = folder.join("hook");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("ours");
        DnsHook { program, timeout: Duration::from_secs(20) }
    }

    #[tokio::test]
    async fn hook_gets_task_and_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = folder.path().join("told");
        let hook = hook(folder.path(), &format!("echo \"$@\" >> {}", told.display()));
        for task in [HookTask::Set, HookTask::Clear] {
            hook.run(task, "_acme-challenge.red.example", "value").await.expect("it ran");
        }
        let told = fs::read_to_string(told).expect("written");
        assert_eq!(told, "set _acme-challenge.red.example value\nclear _acme-challenge.red.example value\n");
    }

    #[tokio::test]
    async fn failed_hook_tells_its_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = hook(folder.path(), "echo no such zone >&2; exit 3").run(HookTask::Set, "a", "b").await;
        let words = error.expect_err("it failed").to_string();
        assert!(words.contains("exit status: 3: no such zone"), "{words}");
        let slow = DnsHook { timeout: Duration::from_millis(50), ..hook(folder.path(), "exec sleep 60") };
        let words = slow.run(HookTask::Set, "a", "b").await.expect_err("it does not end").to_string();
        assert!(words.contains("hook_timeout = 50ms"), "{words}");
        let none = DnsHook { program: folder.path().join("none"), ..slow };
        assert!(matches!(none.run(HookTask::Set, "a", "b").await, Err(HookError::Start { .. })));
    }
}
