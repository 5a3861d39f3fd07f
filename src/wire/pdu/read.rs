//! Reads and checks one received PDU on its own.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use actors::model::{BadPdu, ContextId, Pdu, PduId, PduProof, PduRef, ServerName, StateSlot};
use serde_json::value::RawValue;

use super::pairs::{self, PairContext, StringPair};
use super::relay_judge::RelayedPdu;
use super::write::{WrittenPdu, WrittenState};
use super::{FOR_ONE_SERVER, FieldError, NAME_BYTES_MAX, PDU_NESTING_MAX, PairOrder, PduReader, flaw};
use crate::http::json_error;
use crate::identity::pdu_signature::{HASHES, SIGNATURES};
use crate::json::reader;
use crate::json::reader::ObjectMember;
use crate::json::scanner::ScannedValue;

/// Largest depth: readers with floating-point numbers distinguish all integers up to here.
const DEPTH_MAX: u64 = (1 << 53) - 1;

/// Keys that every PDU has.
const KEYS: [&str; 9] = ["pdu_id", "origin", "context", "ts", "pdu_type", "prev_pdus", "depth", "is_state", "content"];

/// Keys that only state PDUs have.
const STATE_KEYS: [&str; 4] = ["state_key", "power_level", "prev_state_id", "prev_state_origin"];

/// The key that lists the recipients of a narrowed PDU.
const TO: &str = "to";

/// Maximum number of recipients of a narrowed PDU: more than any context has.
const RECIPIENTS_MAX: usize = 10_000;

/// Keys that hold the proofs of a PDU.
const PROOFS: [&str; 2] = [HASHES, SIGNATURES];

/// Returns whether this key has a meaning in PDUs; extra keys must have other names.
pub(super) fn is_taken(key: &str) -> bool {
    [&KEYS[..], &STATE_KEYS, &FOR_ONE_SERVER, &PROOFS, &[TO]].iter().any(|keys| keys.contains(&key))
}

impl PduReader<'_> {
    /// Reads a PDU.
    pub async fn read(&self, text: &RawValue) -> Result<Pdu, BadPdu> {
        self.read_scanned(text.into()).await
    }

    /// Reads a PDU from text that is known to be valid JSON.
    pub(crate) async fn read_scanned(&self, text: ScannedValue<'_>) -> Result<Pdu, BadPdu> {
        self.read_after(text, None).await
    }

    /// Reads a PDU from text that is known to be valid JSON. `before`: the PDU before it in the batch, with which it shares what is the
    /// same: nearly all of a batch are of one origin and context, and each names the one before it.
    pub(crate) async fn read_after(&self, text: ScannedValue<'_>, before: Option<&Pdu>) -> Result<Pdu, BadPdu> {
        let fields = fields(text)?;
        let sound = async {
            let checked = CheckedPdu::of(text, &fields, before)?;
            let around = PairContext { reader: self, context: &checked.context, origin: &checked.origin, before };
            let order = match checked.pairs[..] {
                [] => PairOrder::OriginFirst,
                _ => pairs::order(&checked.pairs, &around).await,
            };
            checked.into_pdu(text.get(), &fields, order, before)
        };
        let mut pdu = sound.await.map_err(|error| about(&fields, error))?;
        if pdu.reference.origin != *self.sender {
            let (sender, policy) = (self.sender, self.acquaintance.relay_policy(self.sender));
            let (origin, dialect) = (&pdu.reference.origin, self.acquaintance.dialect(self.sender));
            let relayed = RelayedPdu { sender, policy, origin, dialect, since: self.since, text: text.get() };
            pdu.proof = self.judge.judge(relayed).await;
        }
        Ok(pdu)
    }

    /// Reads PDUs, each on its own.
    pub(crate) async fn read_all(&self, texts: Vec<ScannedValue<'_>>) -> Vec<Result<Pdu, BadPdu>> {
        let mut pdus: Vec<Result<Pdu, BadPdu>> = Vec::with_capacity(texts.len());
        for text in texts {
            let before = pdus.last().and_then(|before| before.as_ref().ok());
            let pdu = self.read_after(text, before).await;
            pdus.push(pdu);
        }
        pdus
    }
}

/// Reads a PDU from normalized text, as we store it: each pair is an origin and an id, whatever it looks like.
pub(super) fn read_normalized(text: ScannedValue<'_>) -> Result<Pdu, BadPdu> {
    let fields = fields(text)?;
    let sound = CheckedPdu::of(text, &fields, None)
        .and_then(|checked| checked.into_pdu(text.get(), &fields, PairOrder::OriginFirst, None));
    sound.map_err(|error| about(&fields, error))
}

fn fields(text: ScannedValue<'_>) -> Result<PduFields<'_>, BadPdu> {
    let text = text.get();
    let bad = |FieldError { code, reason }| BadPdu { id: None, origin: None, code, reason };
    if !text.starts_with('{') {
        return Err(bad(flaw("NOT_AN_OBJECT", "a PDU is a JSON object, this is not one")));
    }
    let members = reader::members(text).map_err(|error| bad(flaw("BAD_KEYS", json_error::words(&error))))?;
    Ok(PduFields(members))
}

fn about(fields: &PduFields<'_>, FieldError { code, reason }: FieldError) -> BadPdu {
    BadPdu { id: fields.told("pdu_id"), origin: fields.told("origin"), code, reason }
}

/// A PDU whose keys are checked except its parents: the order of their pairs may have to be looked up.
struct CheckedPdu<'a> {
    id: PduId,
    origin: ServerName,
    context: ContextId,
    ts: &'a str,
    kind: Arc<str>,
    content: ScannedValue<'a>,
    state: Option<StateFields>,
    depth: Option<u64>,
    narrowed: Option<ScannedValue<'a>>,
    to: Option<Vec<ServerName>>,
    pairs: Vec<StringPair<'a>>,
}

impl<'a> CheckedPdu<'a> {
    fn of(text: ScannedValue<'a>, fields: &PduFields<'a>, before: Option<&Pdu>) -> Result<Self, FieldError> {
        if text.nests_deeper_than(PDU_NESTING_MAX) {
            return Err(flaw("TOO_DEEP", format!("a PDU nests at most {PDU_NESTING_MAX} levels deep")));
        }
        if let Some(key) = reader::first_duplicate_key(&fields.0) {
            return Err(flaw("DUPLICATE_KEY", format!("the key {:?} is there twice", shortened(key))));
        }
        let id: PduId = fields.required_name("pdu_id", "BAD_ID")?;
        let origin: ServerName = match before.filter(|before| fields.has("origin", before.reference.origin.as_str())) {
            Some(before) => before.reference.origin.clone(),
            None => fields.required_name("origin", "BAD_ORIGIN")?,
        };
        let context: ContextId = match before.filter(|before| fields.has("context", before.context.as_str())) {
            Some(before) => before.context.clone(),
            None => fields.required_name("context", "BAD_CONTEXT")?,
        };
        let ts = ts(fields)?;
        let kind: Arc<str> = match before.filter(|before| fields.has("pdu_type", &before.kind)) {
            Some(before) => before.kind.clone(),
            None => fields.short_text("pdu_type", "BAD_TYPE")?.into(),
        };
        let content = fields.required("content")?;
        let state = if is_state(fields)? { Some(state_fields(fields)?) } else { None };
        let depth = fields.get("depth").and_then(depth);
        let narrowed = fields.get(TO).filter(|to| to.get().starts_with('['));
        let to = narrowed.map(|to| recipients(to, &origin, state.is_some())).transpose()?;
        let pairs = pairs::pairs(fields.get("prev_pdus"))?;
        Ok(Self { id, origin, context, ts, kind, content, state, depth, narrowed, to, pairs })
    }

    fn into_pdu(
        self,
        text: &str,
        fields: &PduFields<'_>,
        order: PairOrder,
        before: Option<&Pdu>,
    ) -> Result<Pdu, FieldError> {
        let Self { id, origin, context, ts, kind, content, state, depth, narrowed, to, pairs } = self;
        let prev = pairs::parents(&pairs, order, before)?;
        let reference = PduRef { origin, id };
        let bytes = WrittenPdu {
            reference: &reference,
            context: &context,
            ts,
            kind: &kind,
            prev: &prev,
            depth,
            state: state.as_ref().map(|stated| WrittenState {
                key: &stated.slot.key,
                power: stated.has_power.then_some(stated.slot.power_level),
                prev: stated.slot.prev.as_ref(),
            }),
            omits_is_state: fields.get("is_state").is_none() && fields.get(SIGNATURES).is_some(),
            to: narrowed.map(ScannedValue::get),
            content: content.get().as_bytes(),
        }
        .bytes(further(fields, state.is_some(), to.is_some()), text.len());
        Ok(Pdu {
            reference,
            context,
            prev,
            depth,
            kind,
            state: state.map(|stated| stated.slot),
            to,
            bytes,
            proof: PduProof::Sender,
        })
    }
}

/// Returns the text of `ts`, because a number that is covered by a signature must keep its spelling.
fn ts<'a>(fields: &PduFields<'a>) -> Result<&'a str, FieldError> {
    let ts = fields.required("ts")?.get();
    match ts.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => Ok(ts),
        _ => Err(flaw("BAD_TS", "ts is not a number")),
    }
}

/// The state that a PDU sets.
struct StateFields {
    slot: StateSlot,
    /// True if a power level was given. An absent one counts as 0 and stays absent, because the PDU was signed without
    /// it.
    has_power: bool,
}

/// Reads `is_state`. Absent means false; stored rows of old servers contain 0 and 1.
fn is_state(fields: &PduFields<'_>) -> Result<bool, FieldError> {
    match fields.get("is_state").map(ScannedValue::get) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(flaw("BAD_IS_STATE", "is_state is neither true nor false")),
    }
}

/// Reads the state that a PDU with `is_state` sets.
fn state_fields(fields: &PduFields<'_>) -> Result<StateFields, FieldError> {
    let key = fields.short_text("state_key", "BAD_STATE_KEY")?.into_owned();
    let power = fields.get("power_level").map(power).transpose()?;
    let id = fields.name::<PduId>("prev_state_id", "BAD_PREV_STATE")?;
    let origin = fields.name::<ServerName>("prev_state_origin", "BAD_PREV_STATE")?;
    let prev = match (origin, id) {
        (Some(origin), Some(id)) => Some(PduRef { origin, id }),
        (None, None) => None,
        _ => return Err(flaw("BAD_PREV_STATE", "prev_state_id and prev_state_origin come together or not at all")),
    };
    let slot = StateSlot { key, power_level: power.unwrap_or(0), prev, member: None };
    Ok(StateFields { slot, has_power: power.is_some() })
}

/// Parses an integer or the text of one: rows of old servers contain it as text.
fn power(value: ScannedValue<'_>) -> Result<i64, FieldError> {
    let written = reader::text(value.text).unwrap_or_else(|| value.get().into());
    let digits = written.strip_prefix('-').unwrap_or(&written);
    let plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let level = written.parse().ok().filter(|_| plain);
    level.ok_or_else(|| flaw("BAD_POWER_LEVEL", "power_level is not an integer of 64 bits"))
}

/// Parses a depth. An invalid one counts as absent: the depth is never trusted, so it is no reason for a refusal.
fn depth(value: ScannedValue<'_>) -> Option<u64> {
    value.get().parse().ok().filter(|depth| *depth <= DEPTH_MAX)
}

/// Returns the recipients of a narrowed PDU. A list that contains anything but servers is an error, because we could not
/// keep to it.
fn recipients(to: ScannedValue<'_>, origin: &ServerName, is_state: bool) -> Result<Vec<ServerName>, FieldError> {
    if is_state {
        return Err(flaw("BAD_TO", "state is for all participants and cannot be narrowed by to"));
    }
    let (names, count) = reader::items(to, RECIPIENTS_MAX).unwrap_or_default();
    if count > RECIPIENTS_MAX {
        return Err(flaw("BAD_TO", format!("to names {count} servers; the maximum is {RECIPIENTS_MAX}")));
    }
    let name = |name: ScannedValue<'_>| reader::text(name.text)?.parse().ok();
    let names: Option<Vec<ServerName>> = names.into_iter().map(name).collect();
    let names = names.filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| flaw("BAD_TO", "to is not a list of server names"))?;
    if !names.contains(origin) {
        return Err(flaw("BAD_TO", format!("to does not name {origin}, the author of the PDU")));
    }
    Ok(names)
}

/// Returns the keys that have no meaning for us, as they were written. The keys of state have none in a PDU that sets no
/// state, and `to` has none if its value is no list.
fn further<'f>(
    fields: &'f PduFields<'_>,
    is_state: bool,
    is_narrowed: bool,
) -> impl Iterator<Item = (&'f [u8], &'f [u8])> {
    let is_ours = move |key: &str| {
        let is_of_some = (is_state && STATE_KEYS.contains(&key)) || (is_narrowed && key == TO);
        KEYS.contains(&key) || FOR_ONE_SERVER.contains(&key) || is_of_some
    };
    let kept = move |member: &&ObjectMember<'_>| !is_ours(&member.key) && member.value.get() != "null";
    fields.0.iter().filter(kept).map(|member| (member.written.as_bytes(), member.value.get().as_bytes()))
}

fn shortened(key: &str) -> String {
    key.chars().take(40).collect()
}

/// The members of a PDU.
struct PduFields<'a>(Vec<ObjectMember<'a>>);

impl<'a> PduFields<'a> {
    /// Returns the value of a key; null counts as absent.
    fn get(&self, key: &str) -> Option<ScannedValue<'a>> {
        reader::get(&self.0, key).filter(|value| value.get() != "null")
    }

    /// Returns whether the value of a key is this text, written without escapes.
    fn has(&self, key: &'static str, text: &str) -> bool {
        self.get(key).is_some_and(|value| reader::is_plain(value.text, text))
    }

    /// Returns the value of a required key.
    fn required(&self, key: &'static str) -> Result<ScannedValue<'a>, FieldError> {
        self.get(key).ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// Returns the text of a required key.
    fn text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
        text(self.required(key)?, key, code)
    }

    /// Returns the text of a required key, limited in length.
    fn short_text(&self, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
        let text = self.text(key, code)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(flaw(code, format!("{key} has more than {NAME_BYTES_MAX} bytes")));
        }
        Ok(text)
    }

    /// Returns the value of a key parsed as a name; `None` if it is absent.
    fn name<T>(&self, key: &'static str, code: &'static str) -> Result<Option<T>, FieldError>
    where
        T: FromStr<Err: Display>,
    {
        let Some(value) = self.get(key) else { return Ok(None) };
        text(value, key, code)?.parse().map(Some).map_err(|bad| flaw(code, format!("{key}: {bad}")))
    }

    /// Returns the value of a required key parsed as a name.
    fn required_name<T>(&self, key: &'static str, code: &'static str) -> Result<T, FieldError>
    where
        T: FromStr<Err: Display>,
    {
        self.required(key)?;
        self.name(key, code)?.ok_or_else(|| flaw("MISSING_KEY", format!("{key} is missing")))
    }

    /// Returns the text of a key for a response about an invalid PDU; `None` if the text is too long.
    fn told(&self, key: &str) -> Option<String> {
        reader::text(self.get(key)?.text).filter(|text| text.len() <= NAME_BYTES_MAX).map(Cow::into_owned)
    }
}

fn text<'a>(value: ScannedValue<'a>, key: &'static str, code: &'static str) -> Result<Cow<'a, str>, FieldError> {
    reader::text(value.text).ok_or_else(|| flaw(code, format!("{key} is not a text")))
}
