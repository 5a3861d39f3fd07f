//! Copies of the process's memory that others could read: core dumps, and the memory files of the system.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Turns core dumps off, for ever: keys and tokens are in memory as long as the process uses them, and a dump would write them
/// to a disk or send them to a service that collects crashes.
///
/// The limit alone does not suffice on Linux, because a pipe as `core_pattern` ignores it. A process that cannot be dumped cannot
/// be read by a debugger of the same user either.
pub(crate) fn forbid() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn process_cannot_be_dumped() {
        forbid().expect("every process may lower its own limits");
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
        assert_eq!(dumpable_behavior().ok(), Some(DumpableBehavior::NotDumpable));
    }
}
