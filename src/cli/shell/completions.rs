//! `fernpost completions`: prints a script by which a shell completes commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::shell::PROGRAM;
use crate::terminal::exit_code::FINE;
use crate::terminal::output::print_script;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(in crate::cli) struct CompletionsOptions {
    /// Shell that reads the script.
    shell: Shell,
}

pub(super) fn run(options: &CompletionsOptions) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), PROGRAM, &mut script);
    print_script(&script, FINE)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// Returns the names of all commands below this one, and of their long options.
    fn words(command: &Command) -> Vec<String> {
        let options = command.get_arguments().filter_map(|argument| argument.get_long());
        let own: Vec<String> = options.map(|option| format!("--{option}")).collect();
        let commands = command.get_subcommands();
        own.into_iter()
            .chain(commands.flat_map(|command| [vec![command.get_name().to_owned()], words(command)].concat()))
            .collect()
    }

    #[test]
    fn completions_have_commands_and_options() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
            let script = String::from_utf8(script).expect("text");
            for word in words(&Cli::command()) {
                // fish writes an option as `-l name`.
                let written = if shell == Shell::Fish { word.replacen("--", "-l ", 1) } else { word };
                assert!(script.contains(&written), "{shell}: {written}");
            }
        }
    }
}
