//! One context over both dialects: the same PDUs everywhere, each once, in order, byte for byte.

use actors::model::PduDraft;
use fixtures::messenger::{PduView, draft, others};
use fixtures::network::{CALM, TestNetwork};
use fixtures::node::TestNode;
use fixtures::time::{millis, seconds, world};

/// Contents in which no reader may change numbers, texts or keys.
const CONTENTS: [&str; 6] = [
    r#"{"n":1208925819614629174706176,"m":-0.0,"e":1e400,"long":0.1000000000000000055511151231257827}"#,
    r#"{"b":1,"a":2,"b":3,"":{"z":null,"y":[]}}"#,
    r#"{"esc":"\u0041\ud83d\ude00\/\n\"","raw":"é😀","nul":"\u0000"}"#,
    r#"{ "spaces" : [ 1 , 2 ] }"#,
    r#""a text""#,
    r#"[null,true,{"pdu_id":"not mine","prev_pdus":[["x","y"]]}]"#,
];

#[tokio::test(start_paused = true)]
async fn mixed_dialects_share_one_context() {
    world(async {
        let network = TestNetwork::new(1, CALM);
        let names = ["red", "green", "blue"];
        let [red, green, blue] = names.map(|name| TestNode::usual(&network, name));
        let nodes = [red.await, green.await, blue.await];
        for node in &nodes {
            node.with("garden", &others(&node.name, &names)).await;
        }
        // All send at the same time, in rounds: each round has three heads, which the next one joins.
        for (round, content) in CONTENTS.iter().enumerate() {
            let say = async |node: &TestNode| {
                let id = format!("{}-{round}", fixtures::network::short(&node.name));
                let draft = PduDraft { content: (*content).into(), ..draft(&id) };
                node.say_draft("garden", draft).await.unwrap();
            };
            tokio::join!(say(&nodes[0]), say(&nodes[1]), say(&nodes[2]));
            millis(50).await;
        }
        seconds(5).await;
        for node in &nodes {
            node.read().await;
            node.check_order("mixed");
            let pdus = node.pdus();
            assert_eq!(pdus.len(), 2 * CONTENTS.len(), "{}", node.name);
            for pdu in &pdus {
                let round: usize = pdu.reference.id.as_str().rsplit('-').next().unwrap().parse().unwrap();
                let text = PduView::of(pdu);
                assert_eq!(text.content.get(), CONTENTS[round], "{} at {}", pdu.reference, node.name);
                assert_eq!(text.prev().len(), if round == 0 { 0 } else { 3 }, "{}", pdu.reference);
                assert_eq!((pdu.depth, &pdu.verified[..]), (round as u64, "network"));
            }
        }
        let dialect = |from: usize, to: usize| {
            let sent =
                network.sent().into_iter().filter(|sent| sent.from == nodes[from].name && sent.to == nodes[to].name);
            let mut paths: Vec<String> =
                sent.map(|sent| sent.request.path.split('/').take(3).collect::<Vec<_>>().join("/")).collect();
            paths.dedup();
            paths
        };
        for (from, to) in [(0, 2), (2, 0)] {
            assert_eq!(dialect(from, to), ["/http/v1"]);
        }
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            assert_eq!(dialect(from, to), ["/matrix/federation"]);
        }
        // The stored bytes are the same everywhere.
        let texts = |node: &TestNode, origin: &TestNode| {
            let of_origin = node.pdus().into_iter().filter(|pdu| pdu.reference.origin == origin.name);
            of_origin.map(|pdu| pdu.bytes).collect::<Vec<_>>()
        };
        for (one, two, origin) in [(0, 1, 2), (0, 2, 1), (1, 2, 0)] {
            assert_eq!(texts(&nodes[one], &nodes[origin]), texts(&nodes[two], &nodes[origin]));
        }
    })
    .await;
}
