//! Receipts: messengers ask to be told of a delivery, and acknowledge or refuse what they read.

use actors::model::{FeedEntry, FeedItem};
use fixtures::messenger::named;

use crate::history::Name;
use crate::world::read;
use crate::world::{Member, World};

/// The name of the item that an event hands over, as news or as something that was asked for.
fn item_of(entry: &FeedEntry) -> Option<String> {
    match &entry.item {
        FeedItem::Pdu(pdu) => Some(named(&pdu.reference)),
        FeedItem::Update { bytes, .. } => Some(read::token(bytes)),
        _ => None,
    }
}

/// True if the messenger of this server refuses this item, whenever it reads it.
fn is_unwanted(server: Name, item: &str) -> bool {
    let sum: u32 = item.bytes().chain(server.bytes()).map(u32::from).sum();
    sum.is_multiple_of(11)
}

impl World {
    /// True if a messenger asks to be told when the hearers of this submission have it.
    pub(crate) fn asks_for_receipt(&self, id: &str) -> bool {
        let asks = self.plan.receipts && self.asking.borrow_mut().bool();
        if asks {
            self.count("a messenger asks for a receipt");
            self.history.borrow_mut().asked.insert(id.to_owned());
        }
        asks
    }

    /// A messenger reads, and what it acknowledges and refuses is recorded.
    pub(crate) async fn read_events(&self, member: &Member) {
        let acknowledges = !member.lags.get();
        if !self.plan.receipts {
            return member.node.read_on(acknowledges).await;
        }
        let begun = self.stamps.next();
        let refuses = |entry: &FeedEntry| item_of(entry).is_some_and(|item| is_unwanted(member.name, &item));
        let upto = member.node.read_refusing(acknowledges, refuses).await;
        let mut history = self.history.borrow_mut();
        let heard = member.node.heard.borrow();
        let read = heard.iter().take_while(|entry| entry.position <= upto);
        for item in read.filter_map(item_of) {
            let key = (member.name, item);
            if history.acknowledged.contains_key(&key) {
                continue;
            }
            if is_unwanted(member.name, &key.1) {
                self.count("a messenger refuses an event");
                history.unwanted.insert(key.clone());
            }
            history.acknowledged.insert(key, begun);
        }
    }
}
