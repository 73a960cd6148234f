//! `egret explain`: how the policies judge an attempt, step by step.

use owo_colors::{OwoColorize, Style};
use serde_json::{Map, Value};

use crate::api::Dest;
use crate::model::WorkloadId;

use super::client::{self, SocketArg, encode};
use super::exit::Failure;
use super::output::{OutputArg, print, print_json};
use super::table::clean;
use super::{Exit, Output};

const EXAMPLE: &str = "\
DEST is a name, an IPv4 address, or an IPv6 address in brackets. PROTO is TCP (the default), UDP, SCTP or ICMP; without
a port 443/TCP is meant, and ICMP takes none. A name is judged together with the addresses that the workload's own
look-ups gave for it, where there are any.
The answer `deny` is an answer: the exit code is 0.

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

fn render(title: &str, explanation: &Value) -> String {
    let mut text = format!("{}\n\n", clean(title).bold());
    for (which, meaning) in [("applied", "what happens"), ("observed", "if all policies were enforced")] {
        if let Some(Value::Object(verdict)) = explanation.pointer(&format!("/verdicts/{which}")) {
            text += &format!("{which:<9} {}  {}\n", verdict_line(verdict), format!("({meaning})").dimmed());
        }
    }
    for (index, step) in explanation["steps"].as_array().into_iter().flatten().enumerate() {
        let line_before = if index == 0 { "\n" } else { "" };
        text += &format!("{line_before}{:>3}. {}\n", index + 1, clean(&phrase(step)));
    }
    text
}

/// Action, reason, what decided, and where that is written.
fn verdict_line(verdict: &Map<String, Value>) -> String {
    let word = |key: &str| clean(verdict.get(key).and_then(Value::as_str).unwrap_or_default());
    let action = word("action");
    let style = match action.as_str() {
        "allow" => Style::new().green().bold(),
        _ => Style::new().red().bold(),
    };
    let by: Vec<_> = ["reason", "module", "policy", "rule"]
        .map(word)
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    let place = verdict.get("origin").map(|origin| format!(" at {}", clean(&phrase(origin))));
    format!("{}  {}{}", action.style(style), by.join(" "), place.unwrap_or_default())
}

/// Any part of an explanation, in words: a place as `file:line`, the fields of a step one after the other.
fn phrase(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(phrase).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("file"), fields.get("line")) {
            (Some(file), Some(line)) => format!("{}:{}", phrase(file), phrase(line)),
            _ => phrases(fields),
        },
        other => other.to_string(),
    }
}

fn phrases(fields: &Map<String, Value>) -> String {
    let said = |(key, value): (&String, &Value)| {
        let text = phrase(value);
        (!text.is_empty()).then(|| if key == "step" { text } else { format!("{key}: {text}") })
    };
    let first = fields.iter().filter(|(key, _)| *key == "step");
    let rest = fields.iter().filter(|(key, _)| *key != "step");
    first.chain(rest).filter_map(said).collect::<Vec<_>>().join("; ")
}
