//! `fernpost completions` and `fernpost man`: files for the shell and for `man`, from the definition of the command line.

mod completions;
mod manual_pages;

pub(super) use completions::CompletionsOptions;
pub(super) use manual_pages::ManualPagesOptions;

/// Name of the program.
const PROGRAM: &str = "fernpost";

/// Prints completions and returns the exit code.
pub(super) fn complete(options: &CompletionsOptions) -> u8 {
    completions::run(options)
}

/// Writes or prints manual pages, and returns the exit code.
pub(super) fn write_pages(options: &ManualPagesOptions) -> u8 {
    manual_pages::run(options)
}
