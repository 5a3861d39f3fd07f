//! The `fernpost` binary: passes the arguments to the command line and returns its exit code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The allocator of the process, because most allocations live for one request and are freed by another thread than made them, which is
/// costly for the allocator of the system.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    fernpost::cli::run()
}
