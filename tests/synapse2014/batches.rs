//! Bursts in both directions: how such a server processes several PDUs in one transaction, and how many it sends in one.

use std::collections::{BTreeMap, BTreeSet};

use fixtures::clients::messenger_client::soon;
use serde_json::Value;

use crate::gateway::{Blue, ids};
use crate::old::{Asked, NULL, Old, P, pdu_of};

/// A server as it processes transactions: all PDUs at the same time, so that each one fetches every parent that was missing
/// before the transaction. It shows fetched PDUs and pushed PDUs, so a PDU that is both is shown twice.
struct Eager {
    red: Old,
    stored: BTreeSet<String>,
    /// Messages that users see in each context.
    shown: BTreeMap<String, Vec<String>>,
    /// Contexts of the PDUs of each transaction.
    transactions: Vec<Vec<String>>,
    fetched: Vec<String>,
}

fn texts<'a>(pdu: &'a Value, keys: [&str; 2]) -> [&'a str; 2] {
    keys.map(|key| pdu[key].as_str().expect("a text"))
}

impl Eager {
    fn new(red: Old) -> Self {
        let (shown, transactions, fetched) = (BTreeMap::new(), vec![], vec![]);
        Self { red, stored: BTreeSet::new(), shown, transactions, fetched }
    }

    /// Processes a transaction before answering it.
    async fn handles(&mut self, asked: Asked) {
        let transaction = asked.json();
        let pdus = transaction["pdus"].as_array().expect("a list");
        let mut contexts = vec![];
        for pdu in pdus {
            let [id, context] = texts(pdu, ["pdu_id", "context"]);
            contexts.push(context.to_owned());
            for pair in pdu["prev_pdus"].as_array().expect("a list") {
                let parent = pair[0].as_str().expect("the id comes first");
                if !self.stored.contains(parent) {
                    let answer = self.red.gets(&format!("{P}/pdu/blue/{parent}/")).await;
                    assert_eq!(answer.status, 200, "the fetch happens while our own request is open: {}", answer.text);
                    self.fetched.push(parent.to_owned());
                    self.shown.entry(context.to_owned()).or_default().push(parent.to_owned());
                }
            }
            self.shown.entry(context.to_owned()).or_default().push(id.to_owned());
        }
        self.stored.extend(pdus.iter().map(|pdu| texts(pdu, ["pdu_id", "context"])[0].to_owned()));
        self.stored.extend(self.fetched.iter().cloned());
        self.transactions.push(contexts);
        asked.answered(NULL).await;
    }
}

/// The original server showed sixty messages of one context in one transaction 750 times; of a hundred it showed 36.
#[actix_web::test]
async fn burst_shown_once_in_order() {
    let mut red = Old::red().await;
    let blue = Blue::knowing([&mut red], "").await;
    let mut eager = Eager::new(red);
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Red joins the context after its first message and has to fetch that one.
    blue.messenger.set_participants("ctx", &[]).await;
    said.entry("ctx".to_owned()).or_default().push(blue.messenger.say_in("ctx", "before", "hello").await);
    blue.messenger.set_participants("ctx", &["red"]).await;
    blue.messenger.set_participants("other", &["red"]).await;
    for n in 0..30 {
        for context in ["ctx", "other"] {
            let id = blue.messenger.say_in(context, &format!("{context}-{n}"), "hello").await;
            said.entry(context.to_owned()).or_default().push(id);
        }
    }
    let handled = async {
        while eager.transactions.iter().map(Vec::len).sum::<usize>() < 60 {
            let asked = eager.red.asked().await;
            eager.handles(asked).await;
        }
    };
    soon("all transactions", handled).await;
    assert_eq!(eager.shown, said, "{:?}", eager.transactions);
    assert_eq!(eager.fetched, said["ctx"][..1], "no other PDU was missing");
    for contexts in &eager.transactions {
        let distinct: BTreeSet<&String> = contexts.iter().collect();
        assert_eq!(distinct.len(), contexts.len(), "a transaction has at most one PDU of each context");
    }
    assert!(eager.transactions.iter().any(|contexts| contexts.len() == 2), "PDUs of two contexts share a transaction");
    blue.messenger.until_state("other-29", "red", "acknowledged").await;
    blue.end().await;
}

/// After an outage such a server puts all pending PDUs into one transaction, and discards them after any answer but 200.
#[actix_web::test]
async fn transaction_of_any_length_is_taken() {
    let mut red = Old::red().await;
    let blue = Blue::knowing([&mut red], "").await;
    let name = |n: usize| format!("p{n:04}");
    let chain = |from: usize, to: usize| -> Vec<String> {
        let link = |n: usize| match n.checked_sub(1) {
            Some(before) => pdu_of("red", &name(n), n as u64, &[&name(before)]),
            None => pdu_of("red", &name(n), 0, &[]),
        };
        (from..to).map(link).collect()
    };
    assert_eq!(red.sends("1", &chain(0, 149)).await.verdicts(), vec!["accepted"; 149]);
    // The number exceeds the limit of any other peer.
    assert_eq!(red.sends("2", &chain(149, 1_300)).await.verdicts(), vec!["accepted"; 1_151]);
    let events = blue.messenger.hear(1_300).await;
    assert_eq!(ids(&events), (0..1_300).map(name).collect::<Vec<_>>());
    blue.end().await;
}
