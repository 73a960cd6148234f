//! `egret completions`: what a shell needs to complete a command line of `egret`.

use clap_complete::Shell;

use super::Exit;
use super::exit::Failure;
use super::output::print_raw;

const EXAMPLE: &str = "\
Where the shell looks for them:
  bash  /etc/bash_completion.d/egret
  zsh   a folder of $fpath, as _egret
  fish  /etc/fish/completions/egret.fish

Example:
  egret completions bash > /etc/bash_completion.d/egret
  egret completions zsh > /usr/local/share/zsh/site-functions/_egret
  egret completions fish > /etc/fish/completions/egret.fish";

/// Print the completions of a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Which shell
    #[arg(value_name = "bash|zsh|fish", hide_possible_values = true)]
    shell: Known,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Known {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<Exit, Failure> {
    print_raw(&script(args.shell, &mut command))?;
    Ok(Exit::Done)
}

fn script(shell: Known, command: &mut clap::Command) -> Vec<u8> {
    let shell = match shell {
        Known::Bash => Shell::Bash,
        Known::Zsh => Shell::Zsh,
        Known::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "egret", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::super::CommandLine;
    use super::*;

    #[test]
    fn every_command_and_every_long_flag_is_completed_in_every_shell() {
        for shell in Known::value_variants() {
            let mut command = CommandLine::command();
            let script = String::from_utf8(script(*shell, &mut command)).expect("UTF-8");
            for sub in command.get_subcommands() {
                assert!(script.contains(sub.get_name()), "{}", sub.get_name());
                for flag in sub.get_arguments().filter_map(clap::Arg::get_long) {
                    // Fish writes them without their dashes.
                    assert!(script.contains(flag), "{} --{flag}", sub.get_name());
                }
            }
        }
    }
}
