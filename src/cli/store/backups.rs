//! `fernpost store backups`: the scheduled backups, or one of them now.

use std::time::Duration;

use crate::api::store::backups::ScheduledBackups;
use crate::cli::admin_client::{AdminClient, CommandFailure};
use crate::cli::{print, print_json};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{counted, size};
use crate::terminal::table::ColumnAlign::{Left, Right};
use crate::terminal::table::TextTable;

/// Interval at which a backup that is being taken is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Shows the schedule and its files; `now`: takes a backup first. The exit code is 1 if something is wrong.
pub(super) async fn run(gateway: &AdminClient, json: bool, now: bool) -> Result<u8, CommandFailure> {
    let mut answer = match now {
        true => gateway.post("/store/backups", String::new()).await?,
        false => gateway.get("/store/backups").await?,
    };
    let mut backups: ScheduledBackups = gateway.read(&answer)?;
    while now && backups.running {
        tokio::time::sleep(LOOK_AGAIN).await;
        answer = gateway.get("/store/backups").await?;
        backups = gateway.read(&answer)?;
    }
    let code = if backups.problem.is_some() { WRONG } else { FINE };
    Ok(if json { print_json(&answer, code) } else { print(&shown(&backups), code) })
}

fn shown(backups: &ScheduledBackups) -> String {
    let (Some(folder), Some(every), Some(keep)) = (&backups.folder, &backups.every, backups.keep) else {
        return "no backup is scheduled; set store.backup.folder\n".to_owned();
    };
    let mut text = format!("{}: every {every}, {} kept\n", folder.display(), counted(keep, "backup"));
    match &backups.next {
        _ if backups.running => text += "one is being taken\n",
        Some(next) => text += &format!("next at {next}\n"),
        None => text += "the next one is due\n",
    }
    if !backups.files.is_empty() {
        let mut table = TextTable::new([("TAKEN", Left), ("SIZE", Right), ("FILE", Left)]);
        for file in &backups.files {
            table.row(vec![file.taken.clone(), size(file.bytes), file.path.display().to_string()]);
        }
        text += &format!("\n{}", table.text());
    }
    if let Some(problem) = &backups.problem {
        text += &format!("\n{problem}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_is_shown_with_problem() {
        let absent: ScheduledBackups = serde_json::from_str(r#"{"running":false,"files":[]}"#).expect("a schedule");
        assert!(shown(&absent).starts_with("no backup is scheduled"));
        let failing = concat!(
            r#"{"folder":"/b","every":"1day","keep":7,"running":false,"problem":"no space","#,
            r#""files":[{"path":"/b/x.backup","taken":"2026-11-30T00:00:00.000Z","bytes":4096}]}"#
        );
        let text = shown(&serde_json::from_str(failing).expect("a schedule"));
        assert!(text.starts_with("/b: every 1day, 7 backups kept\nthe next one is due\n"), "{text}");
        assert!(text.contains("/b/x.backup") && text.ends_with("\nno space\n"), "{text}");
    }
}
