//! `fernpost man`: the manual pages, one for the program and one for each command.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::failure::CommandFailure;
use crate::cli::print;
use crate::terminal::exit_code::FINE;
use crate::terminal::format::counted;
use crate::terminal::output::print_script;

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ManualPagesOptions {
    /// Existing folder for one file per command, such as fernpost-serve.1; without it the page of the program is printed.
    dir: Option<PathBuf>,
}

pub(super) fn run(options: &ManualPagesOptions) -> u8 {
    let done = match &options.dir {
        None => page(program()).map(|page| print_script(&page, FINE)),
        Some(dir) => write(dir).map(|pages| print(&format!("{} in {}\n", counted(pages, "page"), dir.display()), FINE)),
    };
    done.unwrap_or_else(|failure| failure.tell(false))
}

/// Returns the definition of the command line, complete. Its version is the short one, because a page has one line for it.
fn program() -> Command {
    let mut program = Cli::command().disable_help_subcommand(true).long_version(None::<&str>);
    program.build();
    program
}

/// Returns the text of one page.
fn page(command: Command) -> Result<Vec<u8>, CommandFailure> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page).map_err(|error| failure(&error.to_string()))?;
    Ok(page)
}

/// Writes all pages and returns their number.
fn write(dir: &Path) -> Result<u64, CommandFailure> {
    let mut commands = vec![program()];
    let mut written = 0;
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let path = dir.join(format!("{name}.1"));
        let page = page(command)?;
        std::fs::write(&path, page).map_err(|error| failure(&format!("{}: {error}", path.display())))?;
        written += 1;
    }
    Ok(written)
}

fn failure(words: &str) -> CommandFailure {
    CommandFailure::Broken { code: "MANUAL_PAGES", words: words.to_owned() }
}
