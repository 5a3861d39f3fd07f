//! The calls of a page: most become one call to the messenger API.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Json, Query, ServiceConfig};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::tools::demo::names::CONTEXTS;
use crate::tools::demo::page::error::PageError;
use crate::tools::demo::page::messenger::{PageMessenger, segment};
use crate::tools::demo::page::state::{PageState, ServerAddress};

/// Messages of the history that a page reads.
const HISTORY: u32 = 200;
/// Maximum submissions whose delivery one call asks for.
const RECEIPTS_MAX: usize = 50;
/// Time for which a typing notification is shown if it is not renewed.
const TYPING_TTL: &str = "5s";

/// Adds the routes.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .route("/api/start", web::get().to(start))
        .route("/api/history", web::get().to(history))
        .route("/api/say", web::post().to(say))
        .route("/api/typing", web::post().to(typing))
        .route("/api/receipts", web::post().to(receipts))
        .route("/api/cut", web::post().to(cut));
}

#[derive(Serialize)]
struct StartAnswer<'a> {
    server: &'a str,
    servers: &'a [ServerAddress],
    contexts: [&'a str; CONTEXTS.len()],
}

async fn start(page: Data<PageState>) -> HttpResponse {
    HttpResponse::Ok().json(StartAnswer { server: page.name(), servers: &page.servers, contexts: CONTEXTS })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryCall {
    context: String,
}

async fn history(
    messenger: Data<PageMessenger>,
    Query(HistoryCall { context }): Query<HistoryCall>,
) -> Result<HttpResponse, PageError> {
    let path = format!("contexts/{}/history?limit={HISTORY}", segment(&context));
    Ok(messenger.call(Method::GET, &path, vec![]).await?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SayCall {
    /// Id of the submission. The page chooses it, so that a repeated call is one message.
    id: String,
    context: String,
    text: String,
}

/// The content of a message of a page.
#[derive(Serialize)]
struct PageContent<'a> {
    body: &'a str,
    /// Id of the submission, so that the author's page can ask for the delivery after it was opened again.
    submission: &'a str,
}

#[derive(Serialize)]
struct PageMessage<'a> {
    context: &'a str,
    r#type: &'a str,
    content: PageContent<'a>,
}

async fn say(messenger: Data<PageMessenger>, Json(call): Json<SayCall>) -> Result<HttpResponse, PageError> {
    let SayCall { id, context, text } = &call;
    let content = PageContent { body: text, submission: id };
    let body = json(&PageMessage { context, r#type: "m.text", content });
    Ok(messenger.call(Method::PUT, &format!("messages/{}", segment(id)), body).await?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TypingCall {
    context: String,
    typing: bool,
}

#[derive(Serialize)]
struct TypingUpdate<'a> {
    update: &'a str,
    user_id: &'a str,
    room_id: &'a str,
    typing: bool,
}

#[derive(Serialize)]
struct TypingBody<'a> {
    context: &'a str,
    ttl: &'a str,
    update: TypingUpdate<'a>,
}

async fn typing(
    page: Data<PageState>,
    messenger: Data<PageMessenger>,
    Json(TypingCall { context, typing }): Json<TypingCall>,
) -> Result<HttpResponse, PageError> {
    let update = TypingUpdate { update: "typing", user_id: page.name(), room_id: &context, typing };
    let body = json(&TypingBody { context: &context, ttl: TYPING_TTL, update });
    Ok(messenger.call(Method::PUT, "ephemeral", body).await?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptsCall {
    ids: Vec<String>,
}

/// The delivery of each known submission, as the messenger API returns it.
#[derive(Serialize)]
struct ReceiptsAnswer {
    traces: BTreeMap<String, Box<RawValue>>,
}

async fn receipts(
    messenger: Data<PageMessenger>,
    Json(ReceiptsCall { ids }): Json<ReceiptsCall>,
) -> Result<HttpResponse, PageError> {
    if ids.len() > RECEIPTS_MAX {
        return Err(PageError::TooMany(RECEIPTS_MAX));
    }
    let mut traces = BTreeMap::new();
    for id in ids {
        let trace = messenger.get(&format!("messages/{}", segment(&id))).await?;
        if let Some(trace) = trace.and_then(|trace| serde_json::from_slice(&trace).ok()) {
            traces.insert(id, trace);
        }
    }
    Ok(HttpResponse::Ok().json(ReceiptsAnswer { traces }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CutCall {
    cut: bool,
}

/// Cuts the page's server off from the others, or connects it again.
async fn cut(page: Data<PageState>, Json(CutCall { cut }): Json<CutCall>) -> HttpResponse {
    page.network.switch(page.at, cut);
    HttpResponse::NoContent().finish()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts always serialize")
}
