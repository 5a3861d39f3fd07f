//! Releases and deletes quarantined items and dead letters.

use crate::api::quarantine::{BulkReleaseRequest, BulkReleaseResult, KeptItem, QuarantineListPage, ReleaseResult};
use crate::cli::admin_client::{AdminClient, CommandFailure, print_json, query, segment};
use crate::cli::print;
use crate::cli::quarantine::bulk::{self, BulkConsent};
use crate::cli::quarantine::{QuarantineTarget, refused_events, word};
use crate::terminal::exit_code::{FINE, WRONG};
use crate::terminal::format::{count, items};
use crate::terminal::progress::ProgressLine;

/// Applies `verb` to the selected items.
pub(super) async fn act(
    gateway: &AdminClient,
    json: bool,
    target: &QuarantineTarget,
    verb: &str,
) -> Result<u8, CommandFailure> {
    if let Some(position) = &target.messenger {
        return refused_events::act(gateway, json, position, target.yes, verb).await;
    }
    if let Some(selection) = target.selection() {
        let consent = BulkConsent::of(target.dry_run, target.yes);
        return bulk::act(gateway, json, selection, consent, verb).await.map(|(code, _)| code);
    }
    match (&target.name, &target.id, &target.all_of) {
        (Some(name), Some(id), _) => one(gateway, json, name, id, verb).await,
        (_, _, Some(name)) if target.yes => all(gateway, json, name, target, verb).await,
        (_, _, Some(name)) => {
            let found = counted(gateway, name, target).await?;
            Err(CommandFailure::Misused(format!(
                "{name} has {} in quarantine; to {verb} all of them, add --yes",
                items(found)
            )))
        }
        _ => Err(CommandFailure::Misused("give a server and an id, or --all-of NAME".to_owned())),
    }
}

async fn one(gateway: &AdminClient, json: bool, name: &str, id: &str, verb: &str) -> Result<u8, CommandFailure> {
    let path = format!("/quarantine/{}/{}/{verb}", segment(name), segment(id));
    let answer = match gateway.post(&path, String::new()).await {
        Err(CommandFailure::Refused { code, words }) if code == "STAYS" => {
            let words = format!("{name} {id} stays in quarantine: {words}");
            return Err(CommandFailure::Wrong { code: "STAYS", words });
        }
        answer => answer?,
    };
    if json {
        return Ok(print_json(&answer));
    }
    let ReleaseResult { outcome, .. } = gateway.read(&answer)?;
    Ok(print(&format!("{name} {id}: {}\n", told(&outcome)), FINE))
}

/// Returns an outcome as text for people.
fn told(outcome: &str) -> &str {
    match outcome {
        "delivered" => "delivered to the messenger",
        "held" => "accepted; pending until its parents arrive",
        "known" => "delivered before; removed from quarantine",
        "queued" => "queued again",
        other => other,
    }
}

/// Returns the number of selected items.
async fn counted(gateway: &AdminClient, name: &str, target: &QuarantineTarget) -> Result<u64, CommandFailure> {
    let (mut found, mut after) = (0, None);
    loop {
        let asked = [
            ("server", Some(name.to_owned())),
            ("kind", word(target.kind)),
            ("direction", word(target.direction)),
            ("after", after),
            ("limit", Some("1000".to_owned())),
        ];
        let QuarantineListPage { items, next } =
            gateway.read(&gateway.get(&format!("/quarantine{}", query(&asked))).await?)?;
        found += items.len() as u64;
        match next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

async fn all(
    gateway: &AdminClient,
    json: bool,
    name: &str,
    target: &QuarantineTarget,
    verb: &str,
) -> Result<u8, CommandFailure> {
    let found = counted(gateway, name, target).await?;
    if found == 0 {
        // An unknown server has no items either; this call reports a misspelt name.
        gateway.get(&format!("/peers/{}", segment(name))).await?;
    }
    let mut progress = ProgressLine::new(&format!("{verb} {}", items(found)));
    let mut whole = BulkReleaseResult { server: name.to_owned(), done: 0, stayed: vec![], next: None };
    loop {
        let asked =
            BulkReleaseRequest { after: whole.next.take(), direction: word(target.direction), kind: word(target.kind) };
        let body = serde_json::to_string(&asked).expect("texts always serialize");
        let page: BulkReleaseResult =
            gateway.read(&gateway.post(&format!("/quarantine/{}/{verb}", segment(name)), body).await?)?;
        whole.done += page.done;
        whole.stayed.extend(page.stayed);
        progress.at(whole.done + whole.stayed.len() as u64, found);
        if page.next.is_none() {
            break;
        }
        whole.next = page.next;
    }
    progress.end();
    let code = if whole.stayed.is_empty() { FINE } else { WRONG };
    if json {
        let text = serde_json::to_string(&whole).expect("texts and numbers always serialize");
        return Ok(crate::cli::print_json(&text, code));
    }
    let past = if verb == "drop" { "dropped" } else { "released" };
    let mut text = format!("{name}: {} {past}", items(whole.done));
    if !whole.stayed.is_empty() {
        let stay = if whole.stayed.len() == 1 { "stays" } else { "stay" };
        text.push_str(&format!(", {} {stay}\n", count(whole.stayed.len() as u64)));
        for KeptItem { id, reason, .. } in &whole.stayed {
            text.push_str(&format!("  {id:<8}  {reason}\n"));
        }
    } else {
        text.push('\n');
    }
    Ok(print(&text, code))
}
