//! The content that messengers send: JSON that a gateway must carry byte for byte, however odd it looks.

use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;

use crate::history::{Name, Parts};
use crate::plan::pick;

/// Members of an object that a gateway which reads and writes them anew would change.
const ODD: [&str; 14] = [
    r#""slash":"a\/b""#,
    r#""escaped":"\u00e9\u0000\ud83d\ude00""#,
    "\"plain\":\"\u{e9}\u{1f600}\"",
    r#""large":123456789012345678901234567890"#,
    r#""tiny":1e-400"#,
    r#""huge":1E+400"#,
    r#""zeros":[-0,0.0,-0.0,1.10,100e-2]"#,
    r#""z":1,"a":2,"m":3"#,
    r#""same":1,"same":2"#,
    r#""none":null,"empty":{},"list":[]"#,
    r#""update":"pdu","token":"of nobody","pdu_id":"x","content":{"content":{}}"#,
    "\"spaces\" : [ 1 ,\t2 ]",
    r#""deep":[[[[[[[[[[[[[[[[{"a":[]}]]]]]]]]]]]]]]]]"#,
    r#""":"\"\\\b\f\n\r\t""#,
];

/// The text of an object that says this and something odd, and sometimes much.
pub(crate) fn object(first: &str, chance: &mut Rng) -> String {
    // Nested, so that no key of it is one that the wire knows.
    let mut odd = format!("{{{}}}", pick(chance, &ODD));
    if chance.u8(0..20) == 0 {
        odd = format!(r#"["{}",{odd}]"#, "long ".repeat(chance.usize(50..400)));
    }
    match chance.u8(0..4) {
        0 => format!("{{{first}}}"),
        1 => format!("{{ \"odd\" : {odd} , {first} }}"),
        2 => format!("{{\"odd\":{odd},{first}}}"),
        _ => format!("{{{first},\"odd\":{odd}}}"),
    }
}

/// The content of a message, without its room.
#[derive(Debug, Clone)]
pub(crate) struct Saying {
    pub(crate) kind: &'static str,
    pub(crate) content: String,
    pub(crate) state: Option<(String, i64)>,
    pub(crate) extra: Vec<(&'static str, String)>,
}

/// The content of state that makes the actors of this server panic while it is poisoned.
pub(crate) fn poison_of(victim: Name) -> String {
    format!("\"poison\":\"{victim}\"")
}

impl Saying {
    /// Some message under this id.
    pub(crate) fn draw(id: &str, state: Option<(String, i64)>, chance: &mut Rng) -> Self {
        let kind = pick(chance, &["m.text", "m.text", "m.notice", "\u{e9}/\"type\""]);
        let content = object(&format!(r#""text":"{id}""#), chance);
        let mut extra = vec![];
        if chance.u8(0..4) == 0 {
            extra.push(("x_mood", object(r#""mood":1.50"#, chance)));
            extra.push(("auth", pick(chance, &["7", "\"\\u0041\"", "[1.0,2.00]", "false"]).to_owned()));
        }
        Self { kind, content, state, extra }
    }

    /// The same without a key that is there twice: such a message carries no signature, so that nobody can pass it on.
    pub(crate) fn signable(mut self) -> Self {
        let texts = self.extra.iter_mut().map(|(_, text)| text).chain([&mut self.content]);
        for text in texts {
            *text = text.replace(r#""same":1,"same":2"#, r#""same":1,"twin":2"#);
        }
        self
    }

    /// A membership: a user of this server joins. With `victim`, the content makes the actors of that server panic.
    pub(crate) fn membership(id: &str, user: Name, victim: Option<Name>) -> Self {
        let poison = victim.map(|victim| format!(",{}", poison_of(victim))).unwrap_or_default();
        Self {
            kind: "m.room.member",
            content: format!(r#"{{"membership":"join","text":"{id}"{poison}}}"#),
            state: Some((format!("@{id}:{user}.example"), 0)),
            extra: vec![],
        }
    }

    /// The PDU that a gateway writes itself to merge the heads of a room.
    pub(crate) fn merge() -> Self {
        Self { kind: "fernpost.merge", content: "{}".to_owned(), state: None, extra: vec![] }
    }

    /// The parts of the message that each hearer is given.
    pub(crate) fn parts(&self, ts: u64) -> Parts {
        let text = |text: &str| Value::from(text).to_string();
        let mut parts = Parts::from([
            ("pdu_type".to_owned(), text(self.kind)),
            ("content".to_owned(), self.content.clone()),
            ("is_state".to_owned(), self.state.is_some().to_string()),
            ("ts".to_owned(), ts.to_string()),
        ]);
        if let Some((key, power)) = &self.state {
            parts.insert("state_key".to_owned(), text(key));
            parts.insert("power_level".to_owned(), power.to_string());
        }
        parts.extend(self.extra.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        parts
    }

    /// The further keys as a draft has them.
    pub(crate) fn further(&self) -> Vec<(String, Bytes)> {
        self.extra.iter().map(|(key, value)| ((*key).to_owned(), Bytes::from(value.clone()))).collect()
    }
}
