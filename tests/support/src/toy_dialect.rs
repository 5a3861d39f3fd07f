//! A third dialect, as small as possible: `PUT /toy/v1/batches/ID` with `{"origin":"..","batch":[PDU, ..]}`. A new dialect
//! needs no more than this file and an entry in a list.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, web::Data};
use actors::limits::InteropQuirks;
use actors::model::{
    Ack, BatchId, DialectSpec, InboundTransaction, NumberingScheme, OutboundBatch, PeerReceipts, PushFailure,
    PushResponse, ServerName,
};
use bytes::Bytes;
use fernpost::egress::{EgressAnswer, EgressRequest, PeerService};
use fernpost::http::authentication::{CallerClaim, PeerAuthPolicy};
use fernpost::http::body::RequestBody;
use fernpost::http::body::encoded::BodyEncoding;
use fernpost::http::error::ApiError;
use fernpost::json::reader::digest;
use fernpost::wire::pdu::PduReader;
use fernpost::wire::pdu::relay_judge::RelayJudge;
use fernpost::wire::transactions::TransactionsDialect;
use fernpost::wire::updates::UpdatesDialect;
use fernpost::wire::{Dialect, DialectList, FederationCore};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The dialects of test gateways.
pub const TEST_DIALECTS: DialectList = DialectList(&[&UpdatesDialect, &TransactionsDialect, &SampleDialect]);

/// Spec of the toy dialect.
pub const TOY: DialectSpec =
    DialectSpec { name: "toy", numbering: NumberingScheme::TransactionIds, carries_updates: false };

struct SampleDialect;

#[derive(Deserialize)]
struct SampleBatch<'a> {
    origin: &'a str,
    #[serde(borrow)]
    batch: Vec<&'a RawValue>,
}

impl Dialect for SampleDialect {
    fn spec(&self) -> DialectSpec {
        TOY
    }

    fn path_prefix(&self) -> &'static str {
        "/toy/v1/"
    }

    fn service(&self) -> PeerService {
        PeerService { name: "_toy._tcp", default_port: 9890 }
    }

    fn routes(&self, config: &mut ServiceConfig) {
        config.service(web::resource("/toy/v1/batches/{id}").route(web::put().to(put_batch)));
    }

    fn encode_push(
        &self,
        us: &ServerName,
        frame: &OutboundBatch,
        _: InteropQuirks,
    ) -> Result<EgressRequest, PushFailure> {
        let BatchId::Transaction { id, .. } = frame.label else {
            return Err(PushFailure::Unreadable("a toy batch has a transaction id".to_owned()));
        };
        let items: Vec<&str> = frame.items.iter().map(|item| str::from_utf8(item.bytes()).unwrap()).collect();
        let body = format!(r#"{{"origin":"{us}","batch":[{}]}}"#, items.join(","));
        let answer = EgressAnswer::StatusDecides;
        Ok(EgressRequest::put(format!("/toy/v1/batches/{id}"), Bytes::from(body), answer))
    }

    fn draining_response(&self, _: &str, _: BodyEncoding) -> Option<HttpResponse> {
        None
    }

    fn decode_answer(&self, _: &OutboundBatch, _: &Bytes) -> Result<PushResponse, PushFailure> {
        Ok(PushResponse { ack: Ack::Taken, window: None, refused: vec![], receipts: PeerReceipts::NONE, reason: None })
    }
}

async fn put_batch(
    arrival: CallerClaim,
    id: web::Path<String>,
    body: RequestBody,
    admission: Data<dyn PeerAuthPolicy>,
    intake: Data<dyn FederationCore>,
    judge: Data<dyn RelayJudge>,
) -> Result<HttpResponse, ApiError> {
    let not_a_batch = |error: serde_json::Error| ApiError::bad_request("NOT_A_BATCH", error.to_string());
    let read: SampleBatch<'_> = serde_json::from_slice(&body.0).map_err(not_a_batch)?;
    let origin: ServerName = read.origin.parse().map_err(|_| ApiError::bad_request("BAD_ORIGIN", "no server name"))?;
    let caller = arrival.verify_origin(&**admission, &origin)?;
    let reader = PduReader::new(&caller.server, &**intake, &**judge);
    let mut pdus = vec![];
    for pdu in read.batch {
        pdus.push(reader.read(pdu).await);
    }
    let transaction = InboundTransaction {
        id: id.into_inner(),
        digest: digest(&body.0),
        prev_ids: vec![],
        pdus,
        edus: vec![],
        relay_to: vec![],
        receipts: PeerReceipts::NONE,
        verified: caller.proof,
        nonce: caller.nonce,
    };
    let receipt = intake.accept_transaction(&caller.server, transaction).await?;
    Ok(HttpResponse::Ok().body(format!("{} handled", receipt.verdicts.len())))
}
