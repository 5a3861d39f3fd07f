//! Ends and restarts of gateways in a run: by a crash, by a disk that fails, with an older copy of the disk, or with another
//! configuration.

use std::rc::Rc;

use actors::model::{Millis, Position};
use actors::ports::{FeedPage, FeedReader};
use fixtures::disk::{DiskBytes, FaultyDisk, SurvivingBytes};
use fixtures::time::millis;
use redb::TableDefinition;
use tokio::task::spawn_local;

use crate::checker::RESTORED_ABOVE;
use crate::history::disturbance::Done;
use crate::history::{Restore, Stamp};
use crate::world::{Member, World};

/// A copy of a disk.
pub(crate) struct Copied {
    at: Stamp,
    bytes: DiskBytes,
    /// The newest position of the feed on it.
    tail: u64,
    /// The messenger is not restored with its gateway.
    reads_on: bool,
}

/// The disk and the configuration with which a gateway restarts.
enum Next {
    /// As it was.
    Same,
    /// With an older disk.
    Older(Copied),
    /// With another configuration.
    Configured,
    /// With a configuration that lists everybody.
    Listed,
}

/// The same disk, marked as a backup is.
fn as_backup(bytes: DiskBytes, taken: Millis) -> DiskBytes {
    let disk = FaultyDisk::with(bytes);
    let meta: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
    let database = redb::Database::builder().create_with_backend(disk.clone()).expect("a store");
    let transaction = database.begin_write().expect("a store that nobody writes to");
    let marked =
        transaction.open_table(meta).and_then(|mut meta| Ok(meta.insert("taken", &*taken.0.to_string()).map(drop)?));
    marked.expect("a table of texts");
    transaction.commit().expect("a disk that is well");
    drop(database);
    disk.survivors(SurvivingBytes::Written)
}

impl World {
    /// Starts a gateway and watches it: once its journal has stopped or its router has panicked, the process crashes and restarts; and the moment at
    /// which each position of its feed was on disk is recorded. What it finds on a disk that the process before left at a known
    /// moment was there by then, even if nobody saw it come.
    pub(crate) async fn up(self: &Rc<Self>, member: &Rc<Member>, left: Option<Stamp>) {
        member.node.clock.mend();
        self.note_panics();
        member.node.begin().await;
        if let Some(left) = left {
            member.grown.borrow_mut().entry(member.tail_found.get()).or_insert(left);
        }
        let (world, watched, store) = (self.clone(), member.clone(), member.node.store());
        let fails = spawn_local(async move {
            let failure = store.failed().await;
            world.trace.note(&format!("{}: the journal has stopped: {failure}", watched.name));
            world.count("a disk fails");
            let (survives, pause) = world.luck();
            // In a task of its own: this one ends with the gateway.
            spawn_local(async move { world.crash(&watched, survives, pause, Next::Same).await });
        });
        let (world, watched) = (self.clone(), member.clone());
        let panics = spawn_local(async move {
            watched.node.router_panics().await;
            world.trace.note(&format!("{}: the router has panicked, which ends the process", watched.name));
            world.count("a router's panic ends the process");
            let (survives, pause) = world.luck();
            spawn_local(async move { world.crash(&watched, survives, pause, Next::Same).await });
        });
        let (world, watched, mut bounds) = (self.clone(), member.clone(), member.node.store().feed_bounds());
        let grows = spawn_local(async move {
            loop {
                let tail = bounds.borrow_and_update().tail.0;
                watched.grown.borrow_mut().entry(tail).or_insert_with(|| world.stamps.next());
                if bounds.changed().await.is_err() {
                    return;
                }
            }
        });
        member.watches.replace(vec![fails, grows, panics]);
    }

    /// The part of the disk that survives a crash, and the pause before the next process starts.
    fn luck(&self) -> (SurvivingBytes, u64) {
        let mut chance = self.chance.borrow_mut();
        let torn = chance.u64(..);
        let survives = [SurvivingBytes::Synced, SurvivingBytes::Written, SurvivingBytes::Torn(torn)][chance.usize(..3)];
        (survives, [0, 100, 20_000][chance.usize(..3)])
    }

    /// End it, here and now or amid what it does; start it again after a while.
    pub(crate) fn crash_somewhen(self: &Rc<Self>, member: &Rc<Member>) {
        let (survives, pause) = self.luck();
        let turns = self.chance.borrow_mut().u32(0..60);
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.count("a gateway crashes");
            world.crash(&member, survives, pause, Next::Same).await;
        });
    }

    /// End it, and start it again at once; from then on everybody is its peer.
    pub(crate) async fn restart_listed(self: &Rc<Self>, member: &Rc<Member>) {
        self.crash(member, SurvivingBytes::Synced, 0, Next::Listed).await;
    }

    /// End it, and start it again with another configuration.
    pub(crate) fn configure(self: &Rc<Self>, member: &Rc<Member>) {
        let (survives, pause) = self.luck();
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move { world.crash(&member, survives, pause, Next::Configured).await });
    }

    /// Its disk is to fail, or the power to go, at one of the next things written.
    pub(crate) fn break_disk(&self, member: &Member) {
        if member.busy.get() {
            return;
        }
        let mut chance = self.chance.borrow_mut();
        let disk = member.node.disk();
        match chance.u8(0..3) {
            0 => disk.fail_at(chance.u64(1..12)),
            1 => disk.end_after(chance.u64(1..12)),
            _ => disk.fail_write_at(chance.u64(1..80)),
        }
        self.trace.note(&format!("{}: the disk will fail", member.name));
    }

    /// Make a copy of its disk, or come back with the copy: as a backup that says so, or without a word. Of a backup the
    /// messenger may know nothing, and read on from where it was.
    pub(crate) fn copy_or_restore(self: &Rc<Self>, member: &Rc<Member>) {
        let Some(mut copy) = member.copy.take() else {
            if !member.busy.get() {
                self.trace.note(&format!("{}: the disk is copied", member.name));
                let (bytes, tail) = (member.node.disk().survivors(SurvivingBytes::Synced), member.node.store_tail());
                let at = self.stamps.next();
                member.copy.replace(Some(Copied { at, bytes, tail, reads_on: false }));
            }
            return;
        };
        let (_, pause) = self.luck();
        if self.further.borrow_mut().u8(0..4) > 0 {
            copy.bytes = as_backup(copy.bytes, member.now());
            copy.reads_on = self.further.borrow_mut().u8(0..3) > 0;
        }
        let (world, member) = (self.clone(), member.clone());
        spawn_local(async move { world.crash(&member, SurvivingBytes::Synced, pause, Next::Older(copy)).await });
    }

    /// A messenger reads again some of what it has read, and acknowledged perhaps, and must find it as it was.
    pub(crate) async fn read_again(&self, member: &Member) {
        if member.busy.get() || self.plan.forgets() {
            return;
        }
        let heard = member.node.heard.borrow().clone();
        // What a lost disk gave is not there any more: it stands before the place where the restored store went on.
        let history = self.history.borrow().restores.clone();
        let read_on = history.iter().filter(|restore| restore.server == member.name && restore.reads_on);
        let went_on =
            read_on.map(|restore| heard.partition_point(|entry| entry.position.0 < restore.tail + RESTORED_ABOVE));
        let first = went_on.max().unwrap_or(0);
        let kept = &heard[first..];
        if kept.is_empty() {
            return;
        }
        let place = self.further.borrow_mut().usize(..kept.len());
        let (life, store) = (member.life.get(), member.node.store());
        let after = Position(kept[place].position.0 - 1);
        let page = store.feed_after(after, 20, u64::MAX).await;
        let Ok(FeedPage::Entries(again)) = page else { return };
        if member.life.get() != life {
            return;
        }
        self.count("a messenger reads again");
        let same = again.iter().zip(&kept[place..]).all(|(again, before)| again == before);
        if again.is_empty() || !same {
            let trouble = format!("{} reads {again:?} again from {after}, and has read otherwise", member.name);
            self.troubles.borrow_mut().push(trouble);
        }
    }

    async fn crash(self: &Rc<Self>, member: &Rc<Member>, survives: SurvivingBytes, pause: u64, next: Next) {
        if member.busy.replace(true) {
            return;
        }
        let how = match &next {
            Next::Same | Next::Listed => "crash",
            Next::Older(_) => "a copy comes back",
            Next::Configured => "the configuration changes",
        };
        self.trace.note(&format!("{}: {how}, {survives:?}, for {pause} ms", member.name));
        for watch in member.watches.take() {
            watch.abort();
        }
        member.life.set(member.life.get() + 1);
        let ended = self.stamps.next();
        self.disturb(Done::Down(member.name));
        member.node.end(survives).await;
        self.note_heard(member);
        let older = match next {
            Next::Same => None,
            Next::Older(copy) => {
                // One that was made meanwhile is of a course that has not been taken.
                member.copy.take();
                member.node.give(copy.bytes.clone());
                Some(copy)
            }
            Next::Configured => {
                self.change_book(member);
                None
            }
            Next::Listed => {
                self.list_all(member);
                None
            }
        };
        millis(pause).await;
        if let Some(copy) = &older {
            let (copied, tail, reads_on) = (copy.at, copy.tail, copy.reads_on);
            let restored = self.stamps.next();
            let restore = Restore { server: member.name, copied, restored, tail, reads_on };
            self.history.borrow_mut().restores.push(restore);
            self.count(if reads_on { "a restored gateway's messenger reads on" } else { "both are restored" });
            member.grown.borrow_mut().split_off(&(tail + 1));
        }
        self.up(member, older.is_none().then_some(ended)).await;
        self.relieve(|done| done == Done::Down(member.name));
        self.go_back(member, older.as_ref());
        self.trace.note(&format!("{}: is back", member.name));
        member.busy.set(false);
        if older.is_some() {
            self.say_again(member);
        }
    }

    /// The messenger goes back with its gateway, where it does.
    fn go_back(&self, member: &Member, older: Option<&Copied>) {
        let tail = member.node.store_tail();
        let mut heard = member.node.heard.borrow_mut();
        match older {
            Some(copy) if copy.reads_on => {}
            Some(copy) => heard.retain(|entry| entry.position.0 <= copy.tail),
            None if heard.last().is_some_and(|last| last.position.0 > tail) => {
                let trouble = format!("{} had given its messenger what is not on its disk", member.name);
                self.troubles.borrow_mut().push(trouble);
            }
            None => {}
        }
        member.heard_at.borrow_mut().truncate(heard.len());
    }
}
