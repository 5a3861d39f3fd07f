//! How a bug is survived: three rings, because actix restarts no actor that panicked.
//!
//! **Ring 1, in place: the normal case.** A shell has one way in, `enter`, which runs the machine's step under
//! [`guard`]. A panic there is caught before actix sees it: the shell drops its machine and stops; actix's `Supervisor`
//! restarts it with its mailbox intact, and `started` loads a fresh machine from the store, behind a journal barrier and
//! after a back-off that [`crashes`] computes. Replies the old machine owed are dropped: their callers learn that the outcome
//! is unknown, and repeat. Beyond the restart intensity the actor loads into "suspended: faulty": alive, visible, refusing.
//!
//! **Ring 2, the monitor: the impossible case.** A panic outside `enter` kills the actor's task for good, and actix says
//! nothing. The shell owns a [`lifeline`], whose drop tells the router, which starts a new actor through the same
//! intensity book. Futures of other code (requests, commits) never run inside an actor: [`task`] isolates them.
//!
//! **Ring 3, the process.** A failed commit, or a panic of the router, ends the process. All truth is on disk.
//!
//! [`seldom`] keeps the log readable while something goes on that anybody can make happen.
//!
//! Never persist, assert or unwrap in actix's `stopping` or `stopped`: they run while a panic unwinds, and a second one
//! aborts the process.

pub(crate) mod again;
pub mod alarm;
pub mod crashes;
pub mod guard;
pub mod intake;
pub mod lifeline;
pub mod post;
pub mod seldom;
pub mod task;
pub mod timer;
