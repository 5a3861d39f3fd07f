//! Judges a forward: one pure function with the whole rule of what becomes of it.

use std::time::Duration;

use crate::model::{ForwardProof, ForwardedUpdate, Millis, RelayCode, ServerName};

/// Maximum number of servers that send a forward, its origin included.
pub const HOPS_MAX: u64 = 4;

/// Time by which a forward may be dated later than now, because clocks differ.
pub const SENT_AHEAD_MAX: Duration = Duration::from_secs(300);

/// The verdict about a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardStep {
    /// It is for us: give it to the sequence of its origin.
    Take,
    /// Queue it for its destination.
    PassOn,
    /// It was taken or passed on before: acknowledge it.
    Known,
    /// Acknowledge it with this code, and the reason for people.
    Refuse(RelayCode, String),
}

/// Judges a forward of this sender.
pub fn judge(forward: &ForwardedUpdate, sender: &ServerName, now: Millis) -> ForwardStep {
    use ForwardStep::{Known, PassOn, Refuse, Take};
    let (route, facts) = (&forward.route, forward.facts);
    let (origin, destination) = (&route.origin, &route.destination);
    let refuse = |code, reason: String| Refuse(code, reason);
    if forward.sent > now.after(SENT_AHEAD_MAX) {
        return refuse(
            RelayCode::BadForward,
            format!("its `sent` is {} ms in the future", now.until(forward.sent).as_millis()),
        );
    }
    if facts.is_from_us || destination == sender || destination == origin {
        return refuse(RelayCode::Loop, format!("{origin} to {destination} would come back to where it was"));
    }
    match &forward.proof {
        ForwardProof::Sender | ForwardProof::Signature => {}
        ForwardProof::Wrong(reason) => return refuse(RelayCode::BadSignature, reason.clone()),
        ForwardProof::KeysUnknown(reason) => return refuse(RelayCode::KeysUnknown, reason.clone()),
    }
    let sends = if facts.is_for_us { forward.hops } else { forward.hops + 1 };
    match () {
        () if forward.is_known => Known,
        () if facts.is_for_us && sends <= HOPS_MAX => Take,
        () if !facts.is_for_us && !facts.is_allowed => {
            refuse(RelayCode::NotAllowed, format!("relay.allow has no entry for {origin} -> {destination}"))
        }
        () if sends > HOPS_MAX => refuse(
            RelayCode::Hops,
            format!("it has passed {} servers, and {HOPS_MAX} may send a forward", forward.hops),
        ),
        () if !facts.is_peer => {
            refuse(RelayCode::UnknownDestination, format!("{destination} is no peer here that takes numbered updates"))
        }
        () => PassOn,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::{ForwardFacts, ForwardRoute, Seq};

    fn name(text: &str) -> ServerName {
        text.parse().expect("valid")
    }

    /// A forward of `a` for `c` that the relay `b` may pass on.
    fn forward() -> ForwardedUpdate {
        ForwardedUpdate {
            route: ForwardRoute { origin: name("a"), destination: name("c") },
            id: "1".into(),
            hops: 1,
            sent: Millis(1_000_000),
            number: Seq(1),
            proof: ForwardProof::Sender,
            facts: ForwardFacts { is_allowed: true, is_peer: true, ..ForwardFacts::default() },
            update: None,
            onward: Bytes::new(),
            is_known: false,
            outcome: None,
        }
    }

    fn verdict(sender: &str, change: impl FnOnce(&mut ForwardedUpdate)) -> String {
        let mut forward = forward();
        change(&mut forward);
        match judge(&forward, &name(sender), Millis(1_000_000)) {
            ForwardStep::Refuse(code, _) => code.as_str().to_owned(),
            step => format!("{step:?}"),
        }
    }

    fn for_us(forward: &mut ForwardedUpdate) {
        forward.facts = ForwardFacts { is_for_us: true, ..ForwardFacts::default() };
        forward.proof = ForwardProof::Signature;
    }

    #[test]
    fn relay_passes_on_what_is_allowed() {
        assert_eq!(verdict("a", |_| {}), "PassOn");
        assert_eq!(verdict("a", |forward| forward.facts.is_allowed = false), "RELAY_NOT_ALLOWED");
        assert_eq!(verdict("a", |forward| forward.facts.is_peer = false), "UNKNOWN_DESTINATION");
        assert_eq!(verdict("a", |forward| forward.is_known = true), "Known");
    }

    #[test]
    fn fifth_hop_is_refused() {
        assert_eq!(verdict("d", |forward| forward.hops = 3), "PassOn");
        assert_eq!(verdict("d", |forward| forward.hops = 4), "RELAY_HOPS");
        let arrives = |hops| {
            verdict("d", |forward| {
                for_us(forward);
                forward.hops = hops;
            })
        };
        assert_eq!((arrives(4).as_str(), arrives(5).as_str()), ("Take", "RELAY_HOPS"));
    }

    #[test]
    fn loops_are_refused() {
        assert_eq!(verdict("a", |forward| forward.facts.is_from_us = true), "RELAY_LOOP");
        assert_eq!(verdict("c", |_| {}), "RELAY_LOOP", "it never goes back to the server it came from");
        assert_eq!(verdict("b", |forward| forward.route.destination = name("a")), "RELAY_LOOP");
    }

    #[test]
    fn destination_takes_what_is_proved() {
        let proved = |proof| {
            verdict("b", |forward| {
                for_us(forward);
                forward.proof = proof;
            })
        };
        assert_eq!(proved(ForwardProof::Signature), "Take");
        assert_eq!(proved(ForwardProof::Wrong("forged".into())), "BAD_SIGNATURE");
        assert_eq!(proved(ForwardProof::KeysUnknown("none".into())), "KEYS_UNKNOWN");
        let known = |forward: &mut ForwardedUpdate| {
            for_us(forward);
            forward.is_known = true;
        };
        assert_eq!(verdict("b", known), "Known");
    }

    #[test]
    fn forward_of_the_future_is_bad() {
        assert_eq!(verdict("a", |forward| forward.sent = Millis(1_300_000)), "PassOn");
        assert_eq!(verdict("a", |forward| forward.sent = Millis(1_300_001)), "BAD_FORWARD");
    }
}
