//! History and state: what an old server requests, and what it returns.

use serde_json::json;

use crate::gateway::{Blue, ids};
use crate::old::{Answer, INTERNAL, NULL, Old, P, answer, pdu_of};

const GET_STATE: &[u8] = include_bytes!("golden/get_state.http");
const GET_BACKFILL: &[u8] = include_bytes!("golden/get_backfill.http");

async fn red_alone() -> (Blue, Old) {
    let mut red = Old::red().await;
    (Blue::knowing([&mut red], "").await, red)
}

/// Returns the ids of the PDUs of a reply.
fn given(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert!(
        json["ts"].is_u64() && json["origin"] == "blue",
        "such a server discards a reply without ts: {}",
        answer.text
    );
    let pdus = json["pdus"].as_array().expect("a list");
    pdus.iter().map(|pdu| pdu["pdu_id"].as_str().expect("an id").to_owned()).collect()
}

/// Red sends PDUs, each naming the one before it.
async fn chain(red: &Old, count: u64) {
    let pdus: Vec<String> = (0..count)
        .map(|n| match n {
            0 => pdu_of("red", "c0", 0, &[]),
            n => pdu_of("red", &format!("c{n}"), n, &[&format!("c{}", n - 1)]),
        })
        .collect();
    assert_eq!(red.sends("1", &pdus).await.verdicts(), vec!["accepted"; pdus.len()]);
}

/// An old server writes a name unencoded and decodes nothing, so a context name may contain `%`.
#[actix_web::test]
async fn context_with_percent_sign_is_found() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("#50%2541:red", &["red"]).await;
    let body = json!({ "context": "#50%41:red", "type": "m.topic", "content": { "body": "half" }, "state_key": "" });
    let state = blue.messenger.submit_message("m1", &body.to_string()).await;
    let taken = red.takes().await;
    assert_eq!(taken.json()["pdus"][0]["context"], "#50%41:red");
    for target in ["state/#50%41:red/".to_owned(), format!("backfill/#50%41:red/?v={state},blue&limit=1")] {
        assert_eq!(given(&red.gets(&format!("{P}/{target}")).await), std::slice::from_ref(&state), "{target}");
    }
    assert_eq!(red.gets(&format!("{P}/state/#50A:red/")).await.status, 404);
    blue.end().await;
}

/// In such a server a pull always failed. Here a caller gets the transactions that it missed, and a failing pull to such a
/// server does no harm.
#[actix_web::test]
async fn oddity_11_failed_pull_costs_nothing() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("ctx", &["red"]).await;
    let mut transactions = vec![];
    for n in 1..=3 {
        let id = blue.messenger.say_in("ctx", &format!("m{n}"), "hello").await;
        let taken = red.takes().await;
        transactions.push((taken.json()["transaction_id"].as_str().expect("an id").to_owned(), id));
        blue.messenger.until_state(&format!("m{n}"), "red", "acknowledged").await;
    }
    let [(first, one), (_, two), (last, three)] = &transactions[..] else { panic!("three were sent") };
    for (query, expected) in [
        (format!("origin=red&v={first}"), vec![two, three]),
        ("origin=red&v=0".to_owned(), vec![one, two, three]),
        (format!("v=0&v={last}&v={first}&origin=red"), vec![]),
    ] {
        let pulled = given(&red.gets(&format!("{P}/pull/?{query}")).await);
        assert_eq!(pulled.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for (query, status) in [("origin=red&v=x", 400), ("origin=red", 400), ("origin=green&v=0", 403)] {
        assert_eq!(red.gets(&format!("{P}/pull/?{query}")).await.status, status, "{query}");
    }
    let unanswered = blue.messenger.say_in("ctx", "m4", "hello").await;
    let asked = red.asked().await;
    let pulled = given(&red.gets(&format!("{P}/pull/?origin=red&v={last}")).await);
    assert_eq!(pulled, [unanswered], "an unacknowledged transaction counts as sent");
    asked.answered(NULL).await;
    // Blue is the caller now.
    assert_eq!(red.sends("10", &[pdu_of("red", "a", 0, &[])]).await.verdicts(), ["accepted"]);
    let body = red.envelope(&[pdu_of("red", "b", 1, &["a"])]).replacen('{', "{\"prev_ids\":[\"11\"],", 1);
    assert_eq!(red.puts("12", body).await.verdicts(), ["accepted"]);
    let asked = red.asked().await;
    assert!(asked.line().starts_with(&format!("GET {P}/pull/?origin=blue&v=10")), "{}", asked.line());
    asked.answered(INTERNAL).await;
    assert_eq!(red.sends("13", &[pdu_of("red", "c", 2, &["b"])]).await.verdicts(), ["accepted"]);
    blue.end().await;
}

/// In such a server backfill repeats PDUs, exceeds the limit, leaves the context and walks in circles.
#[actix_web::test]
async fn oddity_12_backfill_gives_each_once() {
    let (blue, red) = red_alone().await;
    chain(&red, 5).await;
    let diamond = [
        pdu_of("red", "l", 5, &["c4"]),
        pdu_of("red", "r", 5, &["c4"]),
        pdu_of("red", "top", 6, &["l", "r"]),
        pdu_of("red", "elsewhere", 0, &[]).replace("\"ctx\"", "\"other\""),
    ];
    assert_eq!(red.sends("2", &diamond).await.verdicts(), ["accepted"; 4]);
    for (query, expected) in [
        ("limit=3&v=top%2Cred", &["top", "l", "r"][..]),
        ("limit=5&v=top%2Cred", &["top", "l", "r", "c4", "c3"]),
        ("limit=20&v=l%2Cred&v=r%2Cred", &["l", "r", "c4", "c3", "c2", "c1", "c0"]),
        ("limit=0&v=top%2Cred", &[]),
        ("limit=7&limit=1&v=red%2Ctop", &["top"]),
        ("limit=9&v=nothing%2Cred", &[]),
        ("limit=9&v=elsewhere%2Cred", &[]),
    ] {
        assert_eq!(given(&red.gets(&format!("{P}/backfill/ctx/?{query}")).await), expected, "{query}");
    }
    for query in ["", "limit=3", "v=top%2Cred", "v=top&limit=3", "v=top%2Cred&limit=-1", "v=top%2Cred&limit=x"] {
        assert_eq!(red.gets(&format!("{P}/backfill/ctx/?{query}")).await.status, 400, "{query}");
    }
    blue.end().await;
}

/// As the caller, blue ignores repeated PDUs, PDUs that it did not request and PDUs of other contexts.
#[actix_web::test]
async fn trap_08_backfill_names_missing_parents() {
    let (blue, red) = red_alone().await;
    assert_eq!(red.sends("0", &[pdu_of("red", "c0", 0, &[])]).await.verdicts(), ["accepted"]);
    assert_eq!(red.sends("1", &[pdu_of("red", "top", 9, &["x", "y", "z"])]).await.verdicts(), ["held"]);
    let asked = red.asked().await;
    assert!(asked.line().starts_with(&format!("GET {P}/backfill/ctx/?")), "{}", asked.line());
    for named in ["v=x%2Cred", "v=y%2Cred", "v=z%2Cred", "limit="] {
        assert!(asked.line().contains(named), "{named} is not in {}", asked.line());
    }
    let [x, y, z, w] = [("x", 8, "w"), ("y", 8, "w"), ("z", 8, "w"), ("w", 7, "c0")]
        .map(|(id, depth, prev)| pdu_of("red", id, depth, &[prev]));
    let stray = pdu_of("red", "stray", 0, &[]).replace("\"ctx\"", "\"other\"");
    let list = [x.clone(), y, stray, z, w.clone(), w, x];
    asked.answered(&answer("200 OK", &red.envelope(&list))).await;
    let events = blue.messenger.hear(6).await;
    let order = ids(&events);
    assert_eq!((&order[..2], order[5]), (&["c0", "w"][..], "top"), "{order:?}");
    assert_eq!(order.len(), 6, "each once: {order:?}");
    blue.end().await;
}

/// In such a server `/state/` and `/context/` show everything to everybody.
#[actix_web::test]
async fn oddity_26_history_needs_participation() {
    let mut pair = (Old::red().await, Old::green().await);
    let blue = Blue::knowing([&mut pair.0, &mut pair.1], "").await;
    let (red, green) = pair;
    chain(&red, 2).await;
    assert_eq!(given(&red.gets(&format!("{P}/backfill/ctx/?limit=3&v=c1%2Cred")).await), ["c1", "c0"]);
    let none = green.gets(&format!("{P}/backfill/#nothing/?limit=3&v=c1%2Cred")).await;
    for path in ["backfill/ctx/?limit=3&v=c1%2Cred", "paginate/ctx/?limit=3&v=c1%2Cred", "state/ctx/", "pdu/red/c1/"] {
        let answer = green.gets(&format!("{P}/{path}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &none.json()["code"]), "{path}");
    }
    assert_eq!(red.gets(&format!("{P}/context/ctx/")).await.status, 404, "no caller may read whole contexts");
    assert_eq!(green.writes(GET_BACKFILL).await.status, 404);
    assert_eq!(given(&red.gets(&format!("{P}/state/ctx/")).await), Vec::<String>::new(), "no state was set yet");
    for target in ["state/#nothing/", "state/ctx"] {
        let answer = green.gets(&format!("{P}/{target}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &none.json()["code"]), "{target}");
    }
    assert_eq!(green.writes(GET_STATE).await.status, 404);
    blue.end().await;
}

/// An invited server reads history when it joins, before its join arrives.
#[actix_web::test]
async fn oddity_31_invited_server_may_ask() {
    let (blue, red) = red_alone().await;
    blue.messenger.set_participants("#room.red", &[]).await;
    let invited = json!({
        "context": "#room.red", "type": "m.room.member", "state_key": "@bob:red", "content": { "membership": "invite" }
    });
    let id = blue.messenger.submit_message("invite", &invited.to_string()).await;
    let taken = red.takes().await;
    let row = &taken.json()["pdus"][0];
    assert_eq!((&row["pdu_id"], &row["is_state"], &row["state_key"]), (&json!(id), &json!(true), &json!("@bob:red")));
    let asked = red.gets(&format!("{P}/backfill/#room.red/?limit=3&v={id}%2Cblue")).await;
    assert_eq!(given(&asked), [id.as_str()]);
    let state = red.writes(GET_STATE).await;
    assert_eq!(given(&state), [id]);
    let row = &state.json()["pdus"][0];
    assert_eq!((&row["is_state"], &row["state_key"]), (&json!(true), &json!("@bob:red")));
    let join = pdu_of("red", "join", 1, &[])
        .replace("\"ctx\"", "\"#room.red\"")
        .replace("m.text", "m.room.member")
        .replace("\"is_state\":false", "\"is_state\":true,\"state_key\":\"@bob:red\"")
        .replace("{\"body\":\"join\"}", "{\"membership\":\"join\"}");
    assert_eq!(red.sends("1", &[join]).await.verdicts(), ["accepted"]);
    blue.end().await;
}

/// In such servers two servers that receive rival state in different orders end with different states.
#[actix_web::test]
async fn trap_09_state_ignores_arrival_order() {
    let rival = |id: &str, power: u32, prev: &str| {
        format!(
            "{{\"content\":{{\"topic\":\"{id}\"}},\"context\":\"ctx\",\"depth\":1,\"is_state\":true,\"origin\":\"red\",\
             \"pdu_id\":\"{id}\",\"pdu_type\":\"m.topic\",\"power_level\":{power},\"prev_pdus\":[],{prev}\"state_key\":\"\",\"ts\":1}}"
        )
    };
    let on_root = "\"prev_state_id\":\"root\",\"prev_state_origin\":\"red\",";
    let (root, weak, strong) = (rival("root", 1, ""), rival("weak", 1, on_root), rival("strong", 7, on_root));
    for order in [[&root, &weak, &strong], [&root, &strong, &weak], [&strong, &weak, &root]] {
        let (blue, red) = red_alone().await;
        assert_eq!(red.sends("0", &[pdu_of("red", "c0", 0, &[])]).await.verdicts(), ["accepted"]);
        for (n, pdu) in order.into_iter().enumerate() {
            red.sends(&format!("s{n}"), std::slice::from_ref(pdu)).await;
        }
        // Each state PDU is an event once, and again if it becomes current later.
        blue.messenger.hear(4).await;
        assert_eq!(blue.messenger.state("ctx").await, ["strong"]);
        assert_eq!(given(&red.gets(&format!("{P}/state/ctx/")).await), ["strong"], "losers are not returned");
        blue.end().await;
    }
}
