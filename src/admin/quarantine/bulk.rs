//! `POST /admin/v1/quarantine/release` and `drop`: all items that match, of any server, after a preview.

use actix_web::{HttpResponse, web};
use actors::model::{ContextId, Millis, ParkedCode, ServerName};
use actors::ports::{ParkedFilter, ParkedRow, QuarantineItemKind};

use crate::admin::AdminApi;
use crate::admin::answer::{OperatorBody, OperatorCall, stated_time};
use crate::admin::quarantine::{QuarantineId, code, direction, filter, place, written};
use crate::admin::release::{AT_ONCE, BulkReleaseQuery, QuarantineAction, done};
use crate::api::quarantine::{QuarantineSelection, SelectedGroup, SelectionResult, UnreleasedItem};
use crate::http::error::ApiError;
use crate::http::query;
use crate::http::responses::rfc3339;
use crate::settings::NamePattern;

/// Number of items examined in one call.
const ROWS_A_CALL: u32 = 1_000;

/// Codes of items that left an outbox.
const OUT_CODES: [&str; 5] = ["REFUSED_BY_PEER", "PARKED_BY_PEER", "REJECTED_BY_MESSENGER", "EXPIRED", "TAKEN_OUT"];

/// Releases the items that match. Those that cannot be accepted stay, and the answer gives the reasons.
pub(in crate::admin) async fn release(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    _: query::QueryParams<BulkReleaseQuery>,
    OperatorBody(asked): OperatorBody<QuarantineSelection>,
) -> Result<HttpResponse, ApiError> {
    act(&api, &operator, &asked, QuarantineAction::Release).await
}

/// Deletes the items that match.
pub(in crate::admin) async fn drop(
    api: web::Data<AdminApi>,
    operator: OperatorCall,
    _: query::QueryParams<BulkReleaseQuery>,
    OperatorBody(asked): OperatorBody<QuarantineSelection>,
) -> Result<HttpResponse, ApiError> {
    act(&api, &operator, &asked, QuarantineAction::Drop).await
}

async fn act(
    api: &AdminApi,
    operator: &OperatorCall,
    asked: &QuarantineSelection,
    action: QuarantineAction,
) -> Result<HttpResponse, ApiError> {
    let selection = ItemSelection::of(asked)?;
    let mut after = asked.after.as_deref().map(place).transpose()?;
    let page = api.inspect.parked(selection.filter.clone(), after.clone(), ROWS_A_CALL).await?;
    let time = rfc3339(api.gateway.ports().clock.now());
    let mut result = SelectionResult { time, dry_run: asked.dry_run, ..SelectionResult::default() };
    let mut next = page.next;
    for row in page.rows {
        let place = row.place.clone();
        if selection.has(&row) {
            if !asked.dry_run && result.done + result.stayed.len() as u64 >= u64::from(AT_ONCE) {
                next = after;
                break;
            }
            count(&mut result.groups, &row);
            if !asked.dry_run {
                act_on_one(api, row, action, &mut result).await?;
            }
        }
        after = Some(place);
    }
    result.next = next.map(|place| written(&place));
    if !asked.dry_run {
        let target = format!("{} done, {} stay", result.done, result.stayed.len());
        operator.log_action(action.word(), &target, Ok(()));
    }
    Ok(HttpResponse::Ok().json(result))
}

/// Applies the action to one item, and notes the result.
async fn act_on_one(
    api: &AdminApi,
    listed: ParkedRow,
    action: QuarantineAction,
    result: &mut SelectionResult,
) -> Result<(), ApiError> {
    let (server, id) = (listed.place.server.to_string(), QuarantineId::of(&listed.place).to_string());
    // The item may have been removed since the page was read.
    let Some(row) = api.inspect.parked_row(listed.place).await? else { return Ok(()) };
    match done(api, row, action).await {
        Ok(_) => result.done += 1,
        Err(problem) if problem.status().is_server_error() => return Err(problem),
        Err(problem) => {
            let (code, reason) = (problem.code().into(), problem.to_string());
            result.stayed.push(UnreleasedItem { server, id, code, reason });
        }
    }
    Ok(())
}

/// Adds an item to its group.
fn count(groups: &mut Vec<SelectedGroup>, row: &ParkedRow) {
    let (server, way, code) = (row.place.server.as_str(), direction(row.place.direction), code(row.code));
    let group = groups.iter_mut().find(|group| group.server == server && group.direction == way && group.code == code);
    match group {
        Some(group) => {
            group.items += 1;
            group.bytes += row.size;
        }
        None => groups.push(SelectedGroup {
            server: server.to_owned(),
            direction: way.into(),
            code: code.into(),
            items: 1,
            bytes: row.size,
        }),
    }
}

/// A selection whose values are valid.
struct ItemSelection {
    /// The part that the store decides.
    filter: ParkedFilter,
    from: Option<NamePattern>,
    code: Option<String>,
    context: Option<ContextId>,
    /// Text in lower case.
    reason: Option<String>,
    before: Option<Millis>,
}

impl ItemSelection {
    fn of(asked: &QuarantineSelection) -> Result<Self, ApiError> {
        let QuarantineSelection { from, direction, kind, code, context, reason, before, .. } = asked;
        let bad = |words: String| ApiError::bad_request("BAD_FILTER", words);
        if [from, code, context, reason].into_iter().all(Option::is_none) {
            return Err(bad("select items by at least one of from, code, context and reason".to_owned()));
        }
        if let Some(code) =
            code.as_deref().filter(|code| !OUT_CODES.contains(code) && ParkedCode::from_word(code).is_none())
        {
            return Err(bad(format!("no item has the code {code:?}; see `fernpost quarantine list`")));
        }
        let pattern = |text: &String| text.parse::<NamePattern>().map_err(|why| bad(format!("from: {text:?}: {why}")));
        let context_id = |id: &String| id.parse::<ContextId>().map_err(|_| bad(format!("{id:?} is no context")));
        // The store finds the rows of one server without those of others.
        let server = from.as_deref().and_then(|text| text.parse::<ServerName>().ok());
        Ok(Self {
            filter: filter(server, direction.as_deref(), kind.as_deref())?,
            from: from.as_ref().map(pattern).transpose()?,
            code: code.clone(),
            context: context.as_ref().map(context_id).transpose()?,
            reason: reason.as_ref().map(|text| text.to_lowercase()),
            before: before.as_deref().map(stated_time).transpose()?,
        })
    }

    fn has(&self, row: &ParkedRow) -> bool {
        let context = match &row.what {
            QuarantineItemKind::PduIn { context, .. } => context.as_ref(),
            QuarantineItemKind::PduOut(_, context) => Some(context),
            QuarantineItemKind::UpdateIn(_) | QuarantineItemKind::ForwardIn(..) | QuarantineItemKind::UpdateOut => None,
        };
        let says = |text: &String| row.reason.to_lowercase().contains(text) || code(row.code).to_lowercase() == *text;
        self.from.as_ref().is_none_or(|pattern| pattern.matches(&row.place.server))
            && self.code.as_ref().is_none_or(|wanted| code(row.code) == wanted)
            && self.context.as_ref().is_none_or(|wanted| context == Some(wanted))
            && self.reason.as_ref().is_none_or(says)
            && self.before.is_none_or(|before| row.time < before)
    }
}

#[cfg(test)]
mod tests {
    use actors::model::Seq;
    use actors::ports::{Direction, QuarantineKey, QuarantineReason};

    use super::*;

    fn row() -> ParkedRow {
        let place = QuarantineKey { server: "a.example".parse().expect("valid"), direction: Direction::In, number: 1 };
        ParkedRow {
            place,
            what: QuarantineItemKind::UpdateIn(Seq(1)),
            code: QuarantineReason::Inbound(ParkedCode::NotAnObject),
            reason: "It is 1".to_owned(),
            time: Millis(500),
            submission: None,
            size: 1,
            bytes: None,
        }
    }

    #[test]
    fn each_part_of_selection_counts() {
        let selects = |text: &str| {
            let asked: QuarantineSelection = serde_json::from_str(text).expect("a body");
            ItemSelection::of(&asked).map(|selection| selection.has(&row())).map_err(|error| error.code())
        };
        for text in [
            r#"{"from":"*.example"}"#,
            r#"{"from":"a.example","code":"NOT_AN_OBJECT","reason":"it is","before":"1970-01-01T00:00:00.501Z"}"#,
            r#"{"reason":"not_an_object"}"#,
        ] {
            assert_eq!(selects(text), Ok(true), "{text}");
        }
        for text in [
            r#"{"from":"*.other"}"#,
            r#"{"code":"TAKEN_OUT"}"#,
            r#"{"context":"a"}"#,
            r#"{"reason":"it is 2"}"#,
            r#"{"from":"*.example","before":"1970-01-01T00:00:00.500Z"}"#,
        ] {
            assert_eq!(selects(text), Ok(false), "{text}");
        }
        for text in ["{}", r#"{"kind":"pdu"}"#, r#"{"code":"NO_CODE"}"#, r#"{"reason":"x","before":"noon"}"#] {
            assert_eq!(selects(text), Err("BAD_FILTER"), "{text}");
        }
    }
}
