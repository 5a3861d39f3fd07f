//! Messages of groups that are contexts here, on their way to them.

use super::*;
use crate::limits::{Numbering, PeerGroups};
use crate::model::{GroupId, GroupMessage, PeerReceipts};

/// Returns the limits of a peer whose group 7 is the context `#x`.
fn mapped() -> PeerLimits {
    let groups = PeerGroups::new([(GroupId(7), "#x".parse().expect("valid"))].into());
    PeerLimits { groups, ..PeerLimits::default() }
}

fn said(group: i64, text: &str) -> StrongUpdate {
    let mut digest = [0; 16];
    digest[..text.len()].copy_from_slice(text.as_bytes());
    let message = GroupMessage {
        group: GroupId(group),
        content: Bytes::from(text.to_owned()),
        user_id: None,
        key: Digest(digest),
    };
    let body = StrongBody::Group(Box::new(message));
    StrongUpdate { bytes: Bytes::from(text.to_owned()), digest: Digest(digest), body }
}

fn carried(id: &str, context: &str) -> StrongUpdate {
    let StrongUpdate { bytes, digest, .. } = said(0, id);
    StrongUpdate { bytes, digest, body: StrongBody::Pdu(Box::new(pdu(id, context))) }
}

fn pushed(seq: u64, strong: Vec<StrongUpdate>) -> InboundBatch {
    let (from_seq, ephemeral, nonce) = (None, vec![], None);
    let push = InboundPush {
        from_seq,
        seq: Seq(seq),
        strong,
        weak: 0,
        ephemeral,
        receipts: PeerReceipts::NONE,
        verified: "network",
        nonce,
    };
    InboundBatch::Push(push, ReplyToken::new(0))
}

impl Bench {
    /// Returns the outcome for messages of groups.
    fn messages_back(
        &mut self,
        context: &str,
        places: &[usize],
        outcome: Result<Vec<PduVerdict>, DispatchError>,
    ) -> &mut Self {
        let (context, places) = (context.parse().expect("valid"), places.to_vec());
        let group = ContextGroup { context, places, is_bridged: true };
        self.step(&format!("{} is back", group.context), |inbound, out| inbound.dispatched(&group, outcome, out))
    }
}

#[test]
fn group_messages_keep_their_order() {
    let mut bench = Bench::under(mapped());
    let push = pushed(5, vec![said(7, "a"), said(7, "b"), carried("c", "#x"), said(7, "d"), said(8, "e")]);
    bench.accept(push).messages_back("#x", &[0, 1], Ok(vec![OK, OK])).back("#x", &[2], Ok(vec![OK]));
    bench.messages_back("#x", &[3], Ok(vec![OK])).check(&[
        "accept 1: messages to #x [0, 1]",
        "#x is back: to #x [2]",
        "#x is back: messages to #x [3]",
        // The last one is of a group without a context.
        "#x is back: taken 1+5; feed; answer 1 ok 5",
    ]);
    assert_eq!(bench.inbound.record().taken, 1, "only updates for the messenger are counted");
}

#[test]
fn unmapped_group_message_is_update() {
    let mut bench = Bench::new();
    bench.accept(pushed(1, vec![said(7, "a")])).check(&["accept 1: taken 1+1; feed; answer 1 ok 1"]);
}

#[test]
fn message_of_stranger_is_quarantined() {
    let mut bench = Bench::under(mapped());
    let parked = || Ok(vec![PduVerdict::Parked { code: ParkedCode::NotAParticipant.as_str() }]);
    bench.accept(pushed(1, vec![said(7, "a")])).messages_back("#x", &[0], parked());
    bench.accept(pushed(1, vec![said(7, "a")])).check(&[
        "accept 1: messages to #x [0]",
        "#x is back: taken 1+1; park NOT_A_PARTICIPANT a; answer 1 ok 1, parked 1 NOT_A_PARTICIPANT",
        "accept 2: answer 2 ok 1, parked 1 NOT_A_PARTICIPANT",
    ]);
}

#[test]
fn resent_message_keeps_its_id() {
    let mut bench = Bench::under(mapped());
    for late in [true, false] {
        let outcome = if late { Err(DispatchError::Late) } else { Ok(vec![OK]) };
        bench.accept(pushed(1, vec![said(7, "a")])).messages_back("#x", &[0], outcome);
    }
    bench.accept(pushed(2, vec![said(7, "a")]));
    bench.check(&[
        "accept 1: messages to #x [0]",
        "#x is back: answer 1 unknown",
        "accept 2: messages to #x [0]",
        "#x is back: taken 1+1; answer 2 ok 1",
        "accept 3: messages to #x [0]",
    ]);
    let [first, again, other] = &bench.ids[..] else { panic!("{:?}", bench.ids) };
    assert!(first == again && first != other, "{:?}", bench.ids);
}

#[test]
fn message_crashing_twice_is_quarantined() {
    let mut bench = Bench::under(mapped());
    for _ in 0..2 {
        bench.accept(pushed(1, vec![said(7, "a")])).messages_back("#x", &[0], Err(DispatchError::Died));
    }
    bench.check(&[
        "accept 1: messages to #x [0]",
        "#x is back: answer 1 unknown",
        "accept 2: messages to #x [0]",
        "#x is back: taken 1+1; park POISON a; answer 2 ok 1, parked 1 POISON",
    ]);
}

#[test]
fn numbered_push_distinguishes_equal_messages() {
    let mut bench = Bench::under(PeerLimits { numbering: Numbering::Pushes, ..mapped() });
    bench.accept(pushed(1, vec![said(7, "a"), said(7, "a")]));
    assert!(bench.ids.len() == 2 && bench.ids[0] != bench.ids[1], "{:?}", bench.ids);
}

#[test]
fn changed_mapping_holds_at_once() {
    let mut bench = Bench::new();
    let mut out = EffectCollector::default();
    bench.inbound.change_limits(&Arc::new(mapped()), &mut out);
    bench.accept(pushed(1, vec![said(7, "a")])).check(&["accept 1: messages to #x [0]"]);
}
