//! `egret doctor`: whether this machine has all that an agent needs, and what to do where it has not.

use std::path::PathBuf;

use owo_colors::{OwoColorize, Style};

use crate::agent::DEFAULT_BPFFS;
use crate::kernel::doctor::{Finding, State, examine};

use super::client::{Client, SocketArg};
use super::exit::Failure;
use super::output::{OutputArg, print, print_json};
use super::quantity::of;
use super::table::clean;
use super::{Exit, Output};

const EXAMPLE: &str = "\
Needs no agent. Run it as the agent would run: what it tries out goes away with it.
Exit codes: 0 all that is needed is there, 4 something needed is missing.

Example:
  egret doctor
  egret doctor -o json | jq '.[] | select(.state == \"missing\")'";

/// Check that this machine has all that an agent needs, and say what to do where it has not
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArg,
    /// Where the agent would pin programs and maps
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    bpffs: PathBuf,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut findings = examine(&args.bpffs);
    findings.push(agent(&args.socket.client()).await);
    match args.output.output {
        Output::Json => {
            print_json(&serde_json::to_vec(&findings).map_err(|error| Failure::new(Exit::Failed, error))?)?
        }
        Output::Table => print(&render(&findings))?,
    }
    Ok(if missing(&findings) == 0 { Exit::Done } else { Exit::Unsupported })
}

/// None has to run for this machine to be fit for one.
async fn agent(client: &Client) -> Finding {
    match client.get("/readyz").await {
        Ok(_) => Finding::ok("agent", "one runs, and its rules are in force"),
        Err(Failure::Told { error, fix, .. }) => Finding::note("agent", error, fix),
        Err(Failure::ReaderGone) => Finding::note("agent", "it broke off its answer", None),
    }
}

fn missing(findings: &[Finding]) -> usize {
    findings.iter().filter(|finding| finding.state == State::Missing).count()
}

fn render(findings: &[Finding]) -> String {
    let mut text: String = findings.iter().map(line).collect();
    text += &match missing(findings) as u64 {
        0 => format!("\n{} this machine has all that an agent needs.\n", "All is well:".green().bold()),
        more => {
            let things = of(more, "thing is missing", "things are missing");
            format!("\n{} {things}.\n", "An agent would not run:".red().bold())
        }
    };
    text
}

fn line(finding: &Finding) -> String {
    let (word, style) = match finding.state {
        State::Ok => ("ok", Style::new().green()),
        State::Note => ("note", Style::new().yellow()),
        State::Missing => ("MISSING", Style::new().red().bold()),
        State::Unknown => ("?", Style::new().dimmed()),
    };
    let head = format!("{word:<8}");
    let mut text = format!("{}{:<18} {}\n", head.style(style), finding.check, clean(&finding.found));
    if let Some(fix) = &finding.fix {
        text += &format!("{:<27}{} {}\n", "", "fix:".cyan(), clean(fix));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_says_what_was_found_and_below_it_what_to_do() {
        let findings = [
            Finding::ok("root", "runs as root"),
            Finding::missing("unprivileged eBPF", "a\u{1b}[2J", "do this"),
            Finding::note("JIT", "off", None),
        ];
        let text = anstream::adapter::strip_str(&render(&findings)).to_string();
        let expected = "ok      root               runs as root\n\
                        MISSING unprivileged eBPF  a\u{fffd}[2J\n                           fix: do this\n\
                        note    JIT                off\n\n\
                        An agent would not run: 1 thing is missing.\n";
        assert_eq!(text, expected);
        assert!(render(&findings[..1]).contains("all that an agent needs"));
    }
}
