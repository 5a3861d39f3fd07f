//! State between gateways: conflicts end the same everywhere, missing state is fetched, and members' servers participate.

use std::rc::Rc;
use std::sync::Arc;

use actors::errors::DraftError;
use actors::model::PduDraft;
use actors::ports::ContextReader;
use actors::testkit::at_once;
use fixtures::messenger::{at, context, draft, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::{millis, seconds, world};

use crate::missing::asking::{pdu, send, send_to, verdicts};

/// Returns a state PDU of the context as JSON.
fn topic(origin: &str, id: &str, power: i64, prev: Option<&str>) -> String {
    let prev = prev.map_or(String::new(), |prev| {
        let (origin, id) = prev.split_once('/').unwrap();
        format!(r#","prev_state_id":"{id}","prev_state_origin":"{origin}.example""#)
    });
    format!(
        r#"{{"pdu_id":"{id}","origin":"{origin}.example","context":"garden","ts":7,"pdu_type":"topic","content":{{"text":"{id}"}},"prev_pdus":[],"is_state":true,"state_key":"","power_level":{power}{prev}}}"#
    )
}

/// Returns the PDU that is the current topic.
fn held_by(node: &TestNode) -> Option<String> {
    let holder = at_once(node.store().state_holder(&context("garden"), &("topic".into(), String::new()))).unwrap();
    holder.map(|holder| fixtures::messenger::named(&holder.reference))
}

/// Returns each state event so far: which PDU, whether it was current, and whether it was sent again.
async fn told(node: &TestNode) -> Vec<String> {
    node.feed().await;
    let word = |is: bool, word: &str| if is { format!(" {word}") } else { String::new() };
    let say = |pdu: &actors::model::FeedPdu| {
        let shown = &pdu.shown;
        let words = [(shown.current, "current"), (shown.again, "again"), (shown.history, "history")];
        let words = words.map(|(is, one)| word(is, one)).concat();
        format!("{}{words}", fixtures::messenger::named(&pdu.reference))
    };
    node.pdus().iter().map(say).collect()
}

async fn garden(names: &[&str]) -> (Arc<TestNetwork>, Vec<Rc<TestNode>>) {
    let network = TestNetwork::new(1, CALM);
    let mut nodes = vec![];
    for name in names {
        let node = TestNode::usual(&network, name).await;
        node.with("garden", &others(&node.name, &["red", "green", "blue", "grey"])).await;
        nodes.push(node);
    }
    (network, nodes)
}

/// Regression: the last PDU to arrive won, and two servers kept different topics for ever.
#[tokio::test(start_paused = true)]
async fn gateways_resolve_conflicting_state_alike() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let rivals = [
            topic("red", "1", 0, None),
            topic("red", "2", 10, Some("red/1")),
            topic("green", "3", 20, Some("red/1")),
            topic("grey", "4", 0, Some("red/2")),
        ];
        let node = TestNode::usual(&network, "blue").await;
        for (n, order) in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]].into_iter().enumerate() {
            let node = if n == 0 { node.clone() } else { TestNode::usual(&network, "blue").await };
            node.with("garden", &["red", "green", "grey"]).await;
            for place in order {
                let transaction = format!("{n}{place}");
                assert!(
                    verdicts(&send(&network, "red", &transaction, &rivals[place..=place]).await)[0]
                        .ends_with("accepted")
                );
            }
            assert_eq!(held_by(&node).as_deref(), Some("green/3"), "{order:?}");
            node.restart(fixtures::disk::SurvivingBytes::Synced).await;
            assert_eq!(held_by(&node).as_deref(), Some("green/3"));
        }
    })
    .await;
}

/// Regression: the state of a context jumped back by years when a missing link arrived.
#[tokio::test(start_paused = true)]
async fn a_missing_link_holds_up_nothing() {
    world(async {
        let (network, nodes) = garden(&["blue", "green"]).await;
        let [blue, green] = &nodes[..] else { unreachable!() };
        let chain = [topic("red", "1", 0, None), topic("red", "2", 0, Some("red/1"))];
        send(&network, "red", "1", &chain[..1]).await;
        send_to(&network, "red", "green", "1", &chain).await;
        let mine = [topic("green", "mine", 0, Some("red/2"))];
        send(&network, "green", "1", &mine).await;
        millis(100).await;
        assert_eq!(told(blue).await, ["red/1 current", "green/mine"], "it is delivered at once and is not current");
        seconds(2).await;
        assert_eq!(
            told(blue).await[2..],
            ["red/2", "green/mine current again"],
            "this server was in the context from its beginning"
        );
        assert_eq!((held_by(blue).as_deref(), held_by(green).as_deref()), (Some("green/mine"), Some("red/2")));
    })
    .await;
}

/// Regression: the state was delivered as history, and before its parent.
#[tokio::test(start_paused = true)]
async fn late_state_follows_its_parent() {
    world(async {
        let (network, nodes) = garden(&["blue", "green"]).await;
        let [blue, _green] = &nodes[..] else { unreachable!() };
        let answers = r#""prev_pdus":[["red.example","n"]]"#;
        let late = topic("red", "2", 0, Some("red/1")).replace(r#""prev_pdus":[]"#, answers);
        let before = [topic("red", "1", 0, None), pdu("red", "n", "garden", &["red/1"])];
        send(&network, "red", "1", &before[..1]).await;
        send_to(&network, "red", "green", "1", &[before.to_vec(), vec![late]].concat()).await;
        send(&network, "green", "1", &[topic("green", "mine", 0, Some("red/2"))]).await;
        millis(1000).await;
        // Its parent is still being fetched; a crash in between does not lose that.
        assert_eq!(told(blue).await, ["red/1 current", "green/mine"]);
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        seconds(5).await;
        assert_eq!(told(blue).await[2..], ["red/n", "red/2", "green/mine current again"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn prev_state_give_up_survives_restart() {
    world(async {
        let (network, nodes) = garden(&["blue"]).await;
        let blue = &nodes[0];
        send(&network, "red", "1", &[topic("red", "1", 0, None), topic("red", "9", 7, Some("red/8"))]).await;
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        seconds(50).await;
        assert_eq!(told(blue).await, ["red/1 current", "red/9"]);
        seconds(90).await;
        assert_eq!(told(blue).await[2..], ["red/9 current again"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn membership_adds_server_and_invites_it() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let red = TestNode::usual(&network, "red").await;
        let blue = TestNode::usual(&network, "blue").await;
        red.with("garden", &[]).await;
        let member = |id: &str, says: &str| PduDraft {
            kind: "m.room.member".into(),
            state: Some(("@ann:blue.example".to_owned(), 0)),
            content: format!(r#"{{"membership":"{says}"}}"#).into(),
            ..draft(id)
        };
        red.say("garden", "alone").await;
        red.say_draft("garden", member("invited", "invite")).await.unwrap();
        red.say("garden", "welcome").await;
        red.say_draft("garden", member("banned", "ban")).await.unwrap();
        red.say("garden", "gossip").await;
        seconds(70).await;
        let pdus: Vec<String> = blue.pdus().iter().map(|pdu| pdu.reference.id.to_string()).collect();
        assert_eq!(pdus, Vec::<String>::new());
        let feed = blue.feed().await;
        let said: Vec<&String> = feed.iter().filter(|line| !line.starts_with("gap")).collect();
        assert!(said.iter().any(|line| line.starts_with("red/invited")), "{feed:?}");
        assert!(said.iter().any(|line| line.starts_with("red/banned")), "{feed:?}");
        assert!(!said.iter().any(|line| line.starts_with("red/gossip")), "{feed:?}");
        let record = red.gateway().record(&context("garden")).await.unwrap();
        assert!(record.participants.is_empty() && record.members.is_empty(), "{record:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_local_low_power_is_refused() {
    world(async {
        let (network, nodes) = garden(&["blue"]).await;
        send(&network, "red", "1", &[topic("red", "1", 50, None)]).await;
        let weak =
            |id: &str, power| PduDraft { kind: "topic".into(), state: Some((String::new(), power)), ..draft(id) };
        let refused = nodes[0].say_draft("garden", weak("weak", 49)).await;
        assert_eq!(refused, Err(DraftError::PowerTooLow { own: 49, current: 50 }.into()));
        nodes[0].say_draft("garden", weak("strong", 50)).await.unwrap();
        assert_eq!(held_by(&nodes[0]).as_deref(), Some("blue/strong"));
        send(&network, "red", "2", &[topic("red", "2", 0, Some("blue/strong"))]).await;
        assert_eq!(held_by(&nodes[0]).as_deref(), Some("red/2"));
        assert!(nodes[0].store().pdu(&at("blue/weak")).await.unwrap().is_none(), "no PDU of it was accepted");
    })
    .await;
}

/// Regression: PDUs that a server had sent before it was added stayed in quarantine for ever.
#[tokio::test(start_paused = true)]
async fn quarantined_pdus_are_admitted_with_server() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let blue = TestNode::usual(&network, "blue").await;
        blue.with("garden", &["red"]).await;
        let said = [pdu("green", "x", "garden", &[]), pdu("green", "y", "garden", &["green/x"])];
        for transaction in ["1", "2", "3"] {
            let parked = ["x parkedNOT_A_PARTICIPANT", "y parkedNOT_A_PARTICIPANT"];
            assert_eq!(verdicts(&send(&network, "green", transaction, &said).await), parked);
        }
        assert_eq!(blue.feed().await.len(), 2, "each is one event");
        blue.restart(fixtures::disk::SurvivingBytes::Synced).await;
        blue.with("garden", &["red", "green"]).await;
        millis(50).await;
        assert_eq!(blue.feed().await[2..], ["green/x", "green/y"]);
        assert_eq!(verdicts(&send(&network, "green", "4", &said).await), ["x duplicate", "y duplicate"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn merge_heads_leaves_one_head() {
    world(async {
        let (network, nodes) = garden(&["blue"]).await;
        let ends: Vec<String> = (10..40).map(|n| pdu("red", &n.to_string(), "garden", &[])).collect();
        send(&network, "red", "1", &ends).await;
        let gateway = nodes[0].gateway();
        let mut n = 0;
        let merge = |kind: &Arc<str>| {
            n += 1;
            assert_eq!(&**kind, "fernpost.merge");
            PduDraft { kind: kind.clone(), content: "{}".into(), ..draft(&format!("merge{n}")) }
        };
        assert_eq!(gateway.merge_heads(&context("garden"), merge).await, Ok(4));
        assert_eq!(gateway.context(&context("garden")).await.unwrap().record.heads.len(), 1);
        assert_eq!(gateway.merge_heads(&context("garden"), |_| panic!("nothing is open")).await, Ok(0));
    })
    .await;
}
