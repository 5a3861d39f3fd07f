//! The final view of each room at each gateway, read as a messenger reads it: the history, page by page, and the state.

use std::rc::Rc;

use fixtures::messenger::{PduView, context, named};
use fixtures::network::short;

use serde::Deserialize;

use crate::history::View;
use crate::world::read;
use crate::world::{Member, World};

/// Small, so that pages have to fit together.
const PAGE: u32 = 20;

/// The members that make a PDU state, and name the state that it replaces.
#[derive(Deserialize)]
struct Setting {
    state_key: Option<String>,
    prev_state_id: Option<String>,
    prev_state_origin: Option<String>,
}

impl World {
    /// The views of all servers of all their rooms.
    pub(crate) async fn views(&self) -> Vec<View> {
        let mut views = vec![];
        for member in &self.members {
            for (room, _) in self.plan.rooms.iter().filter(|(_, who)| who.contains(&member.name)) {
                views.push(view(member, room).await);
            }
        }
        views
    }
}

async fn view(member: &Rc<Member>, room: &str) -> View {
    let gateway = member.node.gateway();
    let archive = &gateway.ports().archive;
    let mut view = View { server: member.name, room: room.to_owned(), ..View::default() };
    let mut before = None;
    loop {
        let page = archive.contexts.timeline(&context(room), before, PAGE, u64::MAX).await.expect("a store that reads");
        let Some((last, _)) = page.last() else { break };
        before = Some(*last);
        for (_, pdu) in &page {
            let Setting { state_key, prev_state_id, prev_state_origin } =
                serde_json::from_slice(&pdu.bytes).expect("a PDU");
            if let Some(key) = state_key {
                view.said.entry(key).or_default().insert(named(&pdu.reference));
            }
            let replaced = prev_state_origin
                .zip(prev_state_id)
                .map(|(origin, id)| format!("{}/{id}", short(&origin.parse().expect("a name"))));
            view.named.extend(PduView::of(pdu).prev().iter().map(named).chain(replaced));
            view.parents.insert(named(&pdu.reference), PduView::of(pdu).prev().iter().map(named).collect());
            if view.pdus.insert(named(&pdu.reference), read::parts(&pdu.bytes)).is_some() {
                view.twice.push(named(&pdu.reference));
            }
        }
    }
    let mut after = None;
    loop {
        let page =
            archive.contexts.current_state(&context(room), after, PAGE, u64::MAX).await.expect("a store that reads");
        view.holds.extend(page.state.iter().map(|state| (state.key.1.clone(), named(&state.reference))));
        after = page.state.last().map(|last| last.key.clone());
        if !page.more {
            break;
        }
    }
    let status = gateway.context(&context(room)).await.expect("all is well");
    let edge = status.gaps.iter().filter(|gap| gap.edge).map(|gap| named(&gap.missing));
    view.edge = edge.collect();
    view
}
