//! The `fernpost` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    fernpost::cli::run()
}
