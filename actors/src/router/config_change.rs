//! A changed configuration: the router tells the running actors, and starts those that have work now.
//!
//! The configuration is replaced before the router is told, and the router starts all actors: one that starts later has the new
//! limits already, and one that started before is told. Actors that are stopping are told when they are revived.

use actix::{AsyncContext, Context, Handler};

use crate::router::Router;
use crate::router::registry::{ConfigChanged, StartPeer};
use crate::supervise::again::until_read;
use crate::supervise::mailbox::send_unbounded;
use crate::supervise::task::spawn_abortable;

impl Handler<ConfigChanged> for Router {
    type Result = ();

    fn handle(&mut self, ConfigChanged { new_peers }: ConfigChanged, ctx: &mut Context<Self>) {
        for peer in self.routes.all_peers() {
            peer.change_limits(&self.ports.roster.limits_of(peer.server()));
        }
        let contexts = self.ports.roster.contexts();
        if *contexts != *self.context_limits {
            self.context_limits = contexts.clone();
            self.routes.all_contexts().iter().for_each(|context| context.change_limits(&contexts));
        }
        self.evict_excess();
        self.change_sweep(ctx);
        if new_peers.is_empty() {
            return;
        }
        // A peer that was not listed before may have work in the store that its actor alone would find: pulls, or items from
        // the time when it was a peer.
        let (archive, address) = (self.ports.archive.clone(), ctx.address());
        let start = async move {
            let peers = until_read("new peers with work", || archive.peers.peers_with_backlog(new_peers.clone())).await;
            for server in peers {
                send_unbounded(&address, StartPeer { server, woken: None });
            }
        };
        self.starting = Some(spawn_abortable(start, |_| {}));
    }
}
