//! Peers that lie in their answers. The peer has done what it was asked; its sender is told something else.

use actors::model::PushFailure;
use bytes::Bytes;
use fastrand::Rng;
use fixtures::network::GatewayAnswer;

use crate::history::Name;
use crate::history::exchange::{Exchange, Kind};

/// A false answer in place of the true one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lie {
    /// The connection breaks amid the answer.
    Cut,
    /// Half of the body.
    Half,
    /// `ok` with another number than the request's.
    WrongNumber,
    /// PDUs that were taken are refused.
    RefusedPdu,
    /// The answer contains nothing of what was asked for.
    Nothing,
    /// `hole_detected`, with a number made up.
    Hole,
    /// The same with `conflict`.
    Conflict,
}

/// The peers that lie, the servers they lie to, and the subjects of the lies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lies {
    /// The liar, and who believes it; empty: nobody lies.
    pub(crate) ways: Vec<(Name, Name)>,
    /// Lies are also told about numbers.
    pub(crate) numbers: bool,
}

/// Tells the lies of a plan.
pub(crate) struct Liar {
    lies: Lies,
    chance: Rng,
}

impl Liar {
    pub(crate) fn new(lies: Lies, chance: Rng) -> Self {
        Self { lies, chance }
    }

    /// No more lies.
    pub(crate) fn rest(&mut self) {
        self.lies.ways.clear();
    }

    /// The answer that the sender is given, and the lie in it.
    pub(crate) fn answer(
        &mut self,
        exchange: &Exchange,
        answer: GatewayAnswer,
    ) -> (Result<GatewayAnswer, PushFailure>, Option<Lie>) {
        // Of a request that was not taken nothing but the truth is told: "taken" would be a lie that costs items.
        let lies = self.lies.ways.contains(&(exchange.to, exchange.from)) && answer.status == 200;
        if !lies || self.chance.u8(0..3) > 0 {
            return (Ok(answer), None);
        }
        let choices: &[Lie] = match exchange.kind {
            Kind::Push { .. } if self.lies.numbers => {
                &[Lie::Cut, Lie::Half, Lie::WrongNumber, Lie::Hole, Lie::Hole, Lie::Conflict]
            }
            Kind::Push { .. } => &[Lie::Cut, Lie::Half, Lie::WrongNumber],
            Kind::Transaction => &[Lie::Cut, Lie::Half, Lie::RefusedPdu],
            Kind::Fetch { .. } | Kind::State | Kind::Pull => &[Lie::Cut, Lie::Half, Lie::Nothing],
        };
        let lie = choices[self.chance.usize(..choices.len())];
        let body = |text: String| Ok(GatewayAnswer { body: text.into(), ..answer.clone() });
        let told = match lie {
            Lie::Cut => Err(PushFailure::Broken("the connection broke amid the answer".to_owned())),
            Lie::Half => Ok(GatewayAnswer { body: answer.body.slice(..answer.body.len() / 2), ..answer.clone() }),
            Lie::WrongNumber => {
                let seq = self.number(exchange);
                body(format!(r#"{{"receive":"ok","seq":{seq},"window":7}}"#))
            }
            Lie::RefusedPdu => body(refusing(&exchange.items)),
            Lie::Nothing => {
                let nothing = Bytes::from_static(br#"{"error":"there is no such thing","code":"NOT_FOUND"}"#);
                Ok(GatewayAnswer { status: 404, body: nothing, ..answer.clone() })
            }
            Lie::Hole => {
                let seq = self.number(exchange);
                body(format!(r#"{{"receive":"hole_detected","seq":{seq},"window":7}}"#))
            }
            Lie::Conflict => {
                let seq = self.number(exchange);
                body(format!(r#"{{"receive":"hole_detected","seq":{seq},"conflict":true,"window":7}}"#))
            }
        };
        (told, Some(lie))
    }

    /// Any number but the one that would be true.
    fn number(&mut self, exchange: &Exchange) -> u64 {
        let Kind::Push { seq, .. } = exchange.kind else { return 0 };
        let made_up = match self.chance.u8(0..5) {
            0 => 0,
            1 => self.chance.u64(1..=seq.max(1)),
            2 => seq + self.chance.u64(1..20),
            3 => seq + 900_000,
            _ => 9_000_000_000_000_000,
        };
        if made_up == seq { seq + 1 } else { made_up }
    }
}

/// An answer to a transaction that refuses all that was in it.
fn refusing(items: &[String]) -> String {
    let entry = |item: &String| {
        let (origin, id) = item.split_once('/').unwrap_or_default();
        format!(r#"{{"pdu_id":"{id}","origin":"{origin}.example","error":"we do not like it","code":"LIE"}}"#)
    };
    format!(r#"{{"pdus":[{}]}}"#, items.iter().map(entry).collect::<Vec<_>>().join(","))
}
