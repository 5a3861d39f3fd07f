//! Recovery from bugs in three rings, because actix does not restart an actor that panicked.
//!
//! **Ring 1, in place: the normal case.** An actor has one guarded entry, which runs the machine's step under
//! [`guard`](crate::supervise::catch_panic). A panic there is caught before actix sees it: the actor drops its machine and stops; actix's
//! `Supervisor` restarts it with its mailbox intact, and `started` loads a fresh machine from the store, behind a journal barrier
//! and after a back-off that [`restart_intensity`] computes. The replies of the old machine are
//! dropped: their callers are answered that the outcome is unknown, and repeat. Beyond the restart intensity the actor loads into "suspended: faulty": it
//! runs, is visible, and refuses all requests.
//!
//! **Ring 2, the monitor: the impossible case.** A panic outside the guarded entry ends the actor's task, and actix does not
//! report it. The actor owns an [`ExitMonitor`](crate::supervise::monitor), whose drop notifies the router, which starts a new actor
//! subject to the same restart intensity. Requests and commits never run inside an actor: [`task`] isolates them. Only reads of the
//! store do, those of a load and of a step: within the guard, and with a deadline (`poll_now`).
//!
//! **Ring 3, the process.** A failed commit, or a panic of the router, ends the process. All facts are on disk.
//!
//! `log_throttle` limits the rate of log lines that a remote server can cause.
//!
//! Never persist, assert or unwrap in actix's `stopping` or `stopped`: they run while a panic unwinds, and a second one
//! aborts the process.

pub mod admission;
pub(crate) mod again;
pub mod alarm;
pub mod catch_panic;
pub mod histogram;
pub mod limit_counts;
pub mod log_throttle;
pub mod mailbox;
pub mod monitor;
pub(crate) mod poll_now;
pub(crate) mod reply_table;
pub mod restart_intensity;
pub mod task;
pub mod timer;
