//! `egret flows`: who went where, and what became of it.

use egret_contract::cut;
use jiff::tz::TimeZone;
use owo_colors::Style;

use crate::model::{Action, Destination, FlowRecord, Verdict, WorkloadId};

use super::case;
use super::client::{self, Client, SocketArg, encode};
use super::exit::Failure;
use super::output::{OutputArg, print, print_json, print_raw};
use super::quantity::{bytes, count};
use super::table::{Cell, Column, row, table, titles};
use super::{Exit, Output};

const EXAMPLE: &str = "\
APPLIED is what happened; OBSERVED is what would have happened with every policy in mode Enforce.

Several of --denied, --would-deny and --workload list what is all of it.

--as-case writes each flow as a case that `egret module test` reads: what a module is asked about it, and as `expect`
what modules said of it (`next` where none decided), for the author to change.

Example:
  egret flows --denied --workload payment/api
  egret flows --denied --as-case > cases.yaml
  egret flows --would-deny
  egret flows -f -o json | jq 'select(.applied.action == \"deny\").destination'";

/// List where workloads went, and what became of it
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Go on with what comes, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only what was denied: APPLIED is deny
    #[arg(long)]
    denied: bool,
    /// Only what would be denied with every policy in mode Enforce: OBSERVED is deny
    #[arg(long)]
    would_deny: bool,
    /// Only of this workload
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workload: Option<WorkloadId>,
    /// Write each flow as a case of a policy module, in YAML
    #[arg(long, conflicts_with = "output")]
    as_case: bool,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let (target, none) = (target(&args), none(&args));
    let client = args.socket.client();
    if args.as_case {
        return cases(&client, &target, args.follow, none).await;
    }
    match (args.output.output, args.follow) {
        (Output::Table, false) => list(&client, &target, none).await,
        (output, follow) => stream(&client, &target, output, follow).await,
    }
}

fn target(args: &Args) -> String {
    let mut target =
        format!("/v1/flows?follow={}&denied={}&wouldDeny={}", args.follow, args.denied, args.would_deny);
    if let Some(workload) = &args.workload {
        target += &format!("&workload={}", encode(&workload.to_string()));
    }
    target
}

/// What is told where no flow is listed.
fn none(args: &Args) -> &'static str {
    match (args.denied, args.would_deny) {
        (true, _) => "No flow was denied.\n",
        (false, true) => "No flow would be denied.\n",
        (false, false) => "No flow was seen.\n",
    }
}

async fn list(client: &Client, target: &str, none: &str) -> Result<Exit, Failure> {
    let answer = client.get(target).await?;
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows = lines.map(|line| client::parse(line).map(|record| cells(&record)));
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    if rows.is_empty() {
        print(none)?
    } else {
        print(&table(&COLUMNS, &rows))?
    }
    Ok(Exit::Done)
}

async fn stream(client: &Client, target: &str, output: Output, follow: bool) -> Result<Exit, Failure> {
    let mut lines = client.lines(target).await?;
    if output == Output::Table {
        print(&titles(&COLUMNS))?;
    }
    while let Some(line) = lines.next().await? {
        match output {
            Output::Json => print_json(&line)?,
            Output::Table => print(&row(&COLUMNS, &cells(&client::parse(&line)?)))?,
        }
    }
    ended(follow)
}

/// Each flow as a case. Nothing but a comment where there is none: a file without cases is refused.
async fn cases(client: &Client, target: &str, follow: bool, none: &str) -> Result<Exit, Failure> {
    let mut lines = client.lines(target).await?;
    let mut head = Some(case::HEAD);
    while let Some(line) = lines.next().await? {
        let case = case::case(&client::parse(&line)?)?;
        print_raw(format!("{}{case}", head.take().unwrap_or_default()).as_bytes())?;
    }
    if head.is_some() && !follow {
        print(&format!("# {none}"))?;
    }
    ended(follow)
}

/// How a stream ends: one that goes on does so only with the agent.
fn ended(follow: bool) -> Result<Exit, Failure> {
    if follow { Err(Failure::new(Exit::Unreachable, "the agent has stopped")) } else { Ok(Exit::Done) }
}

const COLUMNS: [Column; 9] = [
    Column { title: "TIME (UTC)", width: 14, number: false },
    Column { title: "WORKLOAD", width: 24, number: false },
    Column { title: "DESTINATION", width: 42, number: false },
    Column { title: "APPLIED", width: 7, number: false },
    Column { title: "OBSERVED", width: 8, number: false },
    Column { title: "COUNT", width: 5, number: true },
    Column { title: "PACKETS", width: 7, number: true },
    Column { title: "BYTES", width: 8, number: true },
    Column { title: "REASON/RULE", width: 11, number: false },
];

fn cells(record: &FlowRecord) -> Vec<Cell> {
    let time = record.time.to_zoned(TimeZone::UTC).strftime("%m-%d %H:%M:%S").to_string();
    vec![
        Cell::plain(time),
        Cell::plain(record.workload.id().to_string()),
        Cell::plain(destination(&record.destination)),
        action(record.applied.action),
        action(record.observed.action),
        Cell::plain(count(record.count)),
        Cell::plain(count(record.packets)),
        Cell::plain(bytes(record.bytes)),
        Cell::plain(why(&record.applied, &record.observed)),
    ]
}

/// A destination by its name, address, port and protocol.
pub(super) fn destination(to: &Destination) -> String {
    let port = if to.port == 0 { String::new() } else { format!(":{}", to.port) };
    match (&to.name, to.address) {
        (Some(name), address) => format!("{name} ({address}){port}/{}", to.protocol),
        (None, address) if address.is_ipv6() => format!("[{address}]{port}/{}", to.protocol),
        (None, address) => format!("{address}{port}/{}", to.protocol),
    }
}

pub(super) fn style(action: Action) -> Style {
    match action {
        Action::Allow => Style::new().green(),
        Action::Deny => Style::new().red(),
    }
}

fn action(action: Action) -> Cell {
    Cell::styled(action.to_string(), style(action))
}

/// Why it happened and, where that differs, why what would have happened would have.
pub(super) fn why(applied: &Verdict, observed: &Verdict) -> String {
    let (now, then) = (reason(applied), reason(observed));
    if now == then { now } else { format!("{now} (if enforced: {then})") }
}

/// Bytes of what a module says that a line has room for; all of it is in the JSON.
const MESSAGE: usize = 120;

/// The reason, whatever decided, and what a module says of it.
pub(super) fn reason(verdict: &Verdict) -> String {
    let mut text = verdict.reason.to_string();
    // In the place of a rule a module is named as `module/NAME`.
    let module = verdict.module.as_ref().filter(|_| verdict.rule.is_none());
    for part in [module, verdict.policy.as_ref(), verdict.rule.as_ref()].into_iter().flatten() {
        text = format!("{text} {part}");
    }
    if let Some(message) = &verdict.message {
        let said = cut(message, MESSAGE);
        let more = if said.len() < message.len() { "..." } else { "" };
        text = format!("{text}: {said}{more}");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::model::{Name, Protocol, Reason};

    use super::*;

    #[test]
    fn what_a_module_says_is_told_behind_its_name() {
        let verdict = Verdict {
            module: Some("guard".to_owned()),
            policy: Some("shop/web".to_owned()),
            rule: Some("module/guard".to_owned()),
            message: Some("443 is closed".to_owned()),
            ..Verdict::of(Action::Deny, Reason::Module)
        };
        assert_eq!(reason(&verdict), "module shop/web module/guard: 443 is closed");
        let long = Verdict { message: Some("x".repeat(500)), ..verdict };
        assert!(reason(&long).ends_with("xxx...") && reason(&long).len() < 200);
    }

    #[test]
    fn a_destination_is_told_by_its_name_and_its_address() {
        let to = |name: Option<&str>, address: &str, port, protocol| Destination {
            name: name.map(|name| Name::parse(name).expect("a name")),
            names: Vec::new(),
            address: address.parse().expect("an address"),
            port,
            protocol,
        };
        for (to, expected) in [
            (to(Some("a.example"), "2001:db8::1", 22, Protocol::TCP), "a.example (2001:db8::1):22/TCP"),
            (to(None, "2001:db8::1", 53, Protocol::UDP), "[2001:db8::1]:53/UDP"),
            (to(None, "192.0.2.1", 0, Protocol::ICMP), "192.0.2.1/ICMP"),
            (to(None, "192.0.2.1", 0, Protocol(47)), "192.0.2.1/47"),
        ] {
            assert_eq!(destination(&to), expected);
        }
    }

    #[test]
    fn what_would_be_cut_is_told_beside_what_happened() {
        let passed = Verdict::of(Action::Allow, Reason::NotEnforced);
        let cut = Verdict::of(Action::Deny, Reason::DefaultDeny);
        assert_eq!(why(&passed, &cut), "not-enforced (if enforced: default-deny)");
        assert_eq!(why(&cut, &cut), "default-deny");
        let by_rule = Verdict {
            policy: Some("a/b".into()),
            rule: Some("deny[0]".into()),
            ..Verdict::of(Action::Deny, Reason::Rule)
        };
        assert_eq!(why(&by_rule, &by_rule), "rule a/b deny[0]");
    }
}
