//! The three responses to a push as Protobuf.

use std::time::Duration;

use actors::model::{
    Ack, OutboundBatch, PeerReceipts, PushFailure, PushResponse, Receipt, ReceiptItem, RejectedItem, Seq,
};
use bytes::Bytes;
use prost::Message;

use super::messages::{AnswerMessage, RangeMessage, ReasonMessage};
use crate::http::error::whole_seconds;
use crate::wire::receipts::shortened as shortened_reason;
use crate::wire::updates::answer::{WAIT_MAX, parked_items, shortened, unreadable};
use crate::wire::updates::scanned_push::SEQ_MAX;

/// Writes a response. `window` is the number of strong updates that we accept in a push.
pub fn encode(receipt: &Receipt, window: u32) -> Bytes {
    let answer = match receipt.ack {
        Ack::Ok(seq) => {
            let parked =
                receipt.parked.iter().map(|(seq, code)| ReasonMessage { seq: seq.0, code: (*code).to_owned() });
            AnswerMessage {
                receive: "ok".to_owned(),
                seq: seq.0,
                window,
                parked: parked.collect(),
                delivered: ranges(&receipt.receipts),
                rejected: reasons(&receipt.receipts),
                ..Default::default()
            }
        }
        Ack::Hole { expected, conflict } => {
            let receive = "hole_detected".to_owned();
            AnswerMessage { receive, seq: expected.0, window, conflict, ..Default::default() }
        }
        // The first two never occur as the response to a push; if they did, a retry would cost nothing.
        Ack::Taken | Ack::AcceptedUnparsedBody => return encode_wait(Duration::from_secs(1)),
        Ack::Wait(wait) => return encode_wait(wait),
    };
    answer.encode_to_vec().into()
}

/// Returns the ranges of numbers in receipts.
pub(super) fn ranges(receipts: &PeerReceipts) -> Vec<RangeMessage> {
    receipts.numbers.iter().map(|(first, last)| RangeMessage { first: first.0, last: last.0 }).collect()
}

/// Returns the rejected numbers in receipts. PDUs without a number have no field.
pub(super) fn reasons(receipts: &PeerReceipts) -> Vec<ReasonMessage> {
    let numbered = receipts.rejected.iter().filter_map(|rejected| match rejected.item {
        ReceiptItem::Number(number) => Some(ReasonMessage { seq: number.0, code: rejected.reason.clone() }),
        ReceiptItem::Pdu(_) => None,
    });
    numbered.collect()
}

/// Reads receipts.
pub(super) fn receipts(delivered: Vec<RangeMessage>, rejected: Vec<ReasonMessage>) -> PeerReceipts {
    let numbers = delivered.into_iter().filter(|range| range.first <= range.last);
    let numbers = numbers.map(|range| (Seq(range.first), Seq(range.last))).collect();
    let rejected = rejected.into_iter().map(|reason| RejectedItem {
        item: ReceiptItem::Number(Seq(reason.seq)),
        reason: shortened_reason(&reason.code),
    });
    PeerReceipts { numbers, pdus: Vec::new(), rejected: rejected.collect() }
}

/// Writes a `wait`. The message has no field for the reason.
pub fn encode_wait(wait: Duration) -> Bytes {
    let wait = u32::try_from(whole_seconds(wait)).unwrap_or(u32::MAX);
    AnswerMessage { receive: "wait".to_owned(), wait, ..Default::default() }.encode_to_vec().into()
}

/// Key of the field `receive`, which every answer has and which is written first.
const RECEIVE_KEY: u8 = 0x0a;

/// Returns whether an answer is Protobuf. The body decides and not its content type, because a server that states a wrong type
/// would otherwise get the same push without end. The key is also a line feed, which may stand before JSON.
pub fn is_protobuf(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    body.first() == Some(&RECEIVE_KEY) && first != Some(&b'{')
}

/// Reads the response to a batch.
pub fn decode(frame: &OutboundBatch, body: &Bytes) -> Result<PushResponse, PushFailure> {
    let answer = AnswerMessage::decode(body.clone()).map_err(|error| unreadable(format_args!("{error}")))?;
    let seq = || match answer.seq {
        seq @ ..=SEQ_MAX => Ok(Seq(seq)),
        _ => Err(unreadable(format_args!("seq is not an integer from 0 to {SEQ_MAX}"))),
    };
    let ack = match answer.receive.as_str() {
        "ok" => Ack::Ok(seq()?),
        "hole_detected" => Ack::Hole { expected: seq()?, conflict: answer.conflict },
        "wait" => Ack::Wait(Duration::from_secs(answer.wait.into()).min(WAIT_MAX)),
        other => return Err(unreadable(format_args!("receive is {:?}", shortened(other)))),
    };
    let refused = match ack {
        Ack::Ok(_) => parked_items(frame, answer.parked.into_iter().map(|parked| (parked.seq, parked.code))),
        _ => Vec::new(),
    };
    Ok(PushResponse {
        ack,
        window: (answer.window > 0).then_some(answer.window),
        refused,
        receipts: receipts(answer.delivered, answer.rejected),
        reason: None,
    })
}
