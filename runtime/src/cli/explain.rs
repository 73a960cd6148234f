//! `egret explain`: how the policies judge an attempt, step by step.

use owo_colors::OwoColorize;
use serde::Deserialize;

use crate::api::Dest;
use crate::model::{Origin, Verdict, WorkloadId};
use crate::policy::{Answered, Decider, Undecided};

use super::client::{self, SocketArg, encode};
use super::exit::Failure;
use super::flows::{reason, style};
use super::output::{OutputArg, print, print_json};
use super::table::clean;
use super::{Exit, Output};

const EXAMPLE: &str = "\
DEST is a name, an IPv4 address, or an IPv6 address in brackets. PROTO is TCP (the default), UDP, SCTP or ICMP; without
a port 443/TCP is meant, and ICMP takes none. A name is judged together with the addresses that the workload's own
look-ups gave for it, where there are any.
The answer `deny` is an answer: the exit code is 0. Modules that may decide are asked now, aside: nothing is counted or
remembered. What they said before counts for as long as they said. Where they cannot be asked, the answer is `undecided`,
with their names and the reason.

Example:
  egret explain updates/update github.com:22
  egret explain payment/api [2001:db8::1]:53/UDP
  egret explain payment/api 192.0.2.1/ICMP";

/// Say whether a workload may reach a destination, and which rule decides
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Who
    #[arg(value_name = "NAMESPACE/NAME")]
    workload: WorkloadId,
    /// Where to
    #[arg(value_name = "DEST[:PORT[/PROTO]]")]
    destination: Dest,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let (workload, destination) = (args.workload.to_string(), args.destination.to_string());
    let target = format!("/v1/explain?workload={}&destination={}", encode(&workload), encode(&destination));
    let answer = args.socket.client().get(&target).await?;
    match args.output.output {
        Output::Json => print_json(&answer)?,
        Output::Table => {
            let title = format!("{workload} to {destination}");
            print(&render(&title, &client::parse(&answer)?))?;
        }
    }
    Ok(Exit::Done)
}

/// What a person is shown of the answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    applied: Verdict,
    observed: Verdict,
    #[serde(default)]
    undecided: Undecided,
    #[serde(default)]
    asked_now: Vec<Answered>,
    not_asked: Option<String>,
    steps: Vec<Step>,
}

/// One thing that was looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    stage: String,
    text: String,
    decides_applied: bool,
    decides_observed: bool,
    origin: Option<Origin>,
}

/// What is said where modules were asked.
const NOW: &str = "modules were asked now; what they said before counts for as long as they said";

fn render(title: &str, explanation: &Explanation) -> String {
    let Explanation { applied, observed, undecided, asked_now, not_asked, steps } = explanation;
    let decided = |decides: fn(&Step) -> bool| steps.iter().find(|step| decides(step)).and_then(place);
    let mut text = format!("{}\n\n", clean(title).bold());
    text += &verdict(
        "applied",
        applied,
        &undecided.applied,
        decided(|step| step.decides_applied),
        "what happens",
    );
    text += &verdict(
        "observed",
        observed,
        &undecided.observed,
        decided(|step| step.decides_observed),
        "with every policy enforced",
    );
    if let Some(why) = not_asked {
        text += &format!("{:<9} {}\n", "", clean(&format!("no module was asked now: {why}")));
    } else if !asked_now.is_empty() {
        text += &format!("{:<9} {}\n", "", NOW.dimmed());
    }
    let mut stage = None;
    for step in steps {
        let first = stage.replace(step.stage.as_str()) != Some(step.stage.as_str());
        text += if stage.is_some() && first { "\n" } else { "" };
        text += &line(step, if first { step.stage.as_str() } else { "" });
    }
    text
}

/// Action, reason, what decided, and where that is written; before these the modules that may decide otherwise.
fn verdict(
    which: &str,
    verdict: &Verdict,
    deciders: &[Decider],
    place: Option<String>,
    meaning: &str,
) -> String {
    let action = format!("{:<5}", verdict.action);
    let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
    let because = clean(&format!("{}{place}", reason(verdict)));
    format!(
        "{which:<9} {}{}  {because}  {}\n",
        undecided(deciders),
        action.style(style(verdict.action).bold()),
        format!("({meaning})").dimmed()
    )
}

fn undecided(deciders: &[Decider]) -> String {
    if deciders.is_empty() {
        return String::new();
    }
    let named: Vec<_> = deciders.iter().map(|one| format!("{} of {}", one.module, one.policy)).collect();
    let modules = if named.len() == 1 { "module" } else { "modules" };
    let asked = clean(&format!("asked of {modules} {}", named.join(", ")));
    format!("{} {asked}; if none decides: ", "undecided:".bold())
}

fn line(step: &Step, stage: &str) -> String {
    let decides = match (step.decides_applied, step.decides_observed) {
        (true, true) => "  <- decides",
        (true, false) => "  <- decides what is applied",
        (false, true) => "  <- decides what is observed",
        (false, false) => "",
    };
    let place = place(step).map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{:<9} {}{}{}\n", clean(stage), clean(&step.text), clean(&place).dimmed(), decides.bold())
}

/// `file:line`.
fn place(step: &Step) -> Option<String> {
    step.origin.as_ref().map(|origin| format!("{}:{}", origin.file, origin.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_on_modules_is_told_as_undecided() {
        let decider = |policy: &str, module: &str| serde_json::json!({"policy": policy, "module": module, "stage": "unmatched"});
        let denied = serde_json::json!({"action": "deny", "reason": "default-deny"});
        let body = |applied: Vec<serde_json::Value>| {
            serde_json::json!({
                "applied": denied, "observed": denied, "steps": [],
                "undecided": {"applied": applied, "observed": []},
            })
        };
        for (applied, expected) in [
            (vec![], "applied   deny   default-deny  (what happens)"),
            (
                vec![decider("company", "hours"), decider("shop/web", "hours")],
                "applied   undecided: asked of modules hours of company, hours of shop/web; if none decides: \
                 deny   default-deny  (what happens)",
            ),
        ] {
            let explanation = serde_json::from_value(body(applied)).expect("an explanation");
            let told = anstream::adapter::strip_str(&render("a to b", &explanation)).to_string();
            assert_eq!(told.lines().nth(2), Some(expected));
            assert_eq!(
                told.lines().nth(3),
                Some("observed  deny   default-deny  (with every policy enforced)")
            );
        }
    }

    #[test]
    fn whether_modules_were_asked_is_told_under_the_verdicts() {
        let denied = serde_json::json!({"action": "deny", "reason": "default-deny"});
        let told = |more: serde_json::Value| {
            let mut body = serde_json::json!({"applied": denied, "observed": denied, "steps": []});
            body.as_object_mut().expect("a body").extend(more.as_object().expect("more").clone());
            let text = render("a to b", &serde_json::from_value(body).expect("an explanation"));
            anstream::adapter::strip_str(&text).to_string().lines().nth(4).map(|line| line.trim().to_owned())
        };
        let answer = serde_json::json!({
            "policy": "shop/web", "module": "hours", "answer": "next", "scope": "flow", "ttlSeconds": 0,
        });
        assert_eq!(told(serde_json::json!({})), None);
        assert_eq!(told(serde_json::json!({"askedNow": [answer]})).as_deref(), Some(NOW));
        let why = serde_json::json!({"notAsked": "it is \u{1b}[2J not covered"});
        assert_eq!(told(why).as_deref(), Some("no module was asked now: it is \u{fffd}[2J not covered"));
    }
}
