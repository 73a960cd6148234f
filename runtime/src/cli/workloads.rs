//! `egret workloads`.

use owo_colors::Style;

use crate::api::{EffectiveMode, WorkloadRow};
use crate::model::Coverage;

use super::Exit;
use super::client::SocketArg;
use super::exit::Failure;
use super::output::{OutputArg, show};
use super::quantity::count;
use super::status::{gaps_of, unseen_of};
use super::table::{Cell, Column, table};

/// List the workloads of this node: mode, policies, and whether every packet passes the hooks
#[derive(clap::Args)]
#[command(after_help = "Example:\n  egret workloads -o json | jq '.[] | select(.mode == \"Observe\").name'")]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let answer = args.socket.client().get("/v1/workloads").await?;
    show(args.output.output, &answer, |rows: &Vec<WorkloadRow>| render(rows))
}

const COLUMNS: [Column; 7] = [
    Column { title: "WORKLOAD", width: 0, number: false },
    Column { title: "MODE", width: 0, number: false },
    Column { title: "COVERED", width: 0, number: false },
    Column { title: "FLOWS", width: 0, number: true },
    Column { title: "NAMES", width: 0, number: true },
    Column { title: "POLICIES", width: 0, number: false },
    Column { title: "ADDRESSES", width: 0, number: false },
];

fn render(rows: &[WorkloadRow]) -> String {
    if rows.is_empty() {
        return "No workloads: the agent's workloads file lists none.\n".to_owned();
    }
    let gaps = rows.iter().filter_map(|row| match &row.coverage {
        Coverage::Covered | Coverage::Sockets { .. } => None,
        Coverage::NotCovered { reason } => Some((format!("{}/{}", row.namespace, row.name), reason.as_str())),
    });
    let at_sockets = rows.iter().filter_map(|row| match &row.coverage {
        Coverage::Sockets { unseen } => Some((format!("{}/{}", row.namespace, row.name), unseen.as_str())),
        _ => None,
    });
    [table(&COLUMNS, &rows.iter().map(cells).collect::<Vec<_>>()), gaps_of(gaps), unseen_of(at_sockets)]
        .concat()
}

fn cells(row: &WorkloadRow) -> Vec<Cell> {
    let mode = match row.mode {
        EffectiveMode::Enforce => Style::new().green(),
        EffectiveMode::Observe => Style::new().yellow(),
        EffectiveMode::Unmanaged => Style::new().dimmed(),
    };
    let covered = match row.coverage {
        Coverage::Covered => Cell::plain("yes"),
        Coverage::Sockets { .. } => Cell::styled("sockets", Style::new().yellow()),
        Coverage::NotCovered { .. } => Cell::styled("NO", Style::new().red().bold()),
    };
    let addresses: Vec<_> = row.addresses.iter().map(ToString::to_string).collect();
    vec![
        Cell::plain(format!("{}/{}", row.namespace, row.name)),
        Cell::styled(row.mode.to_string(), mode),
        covered,
        Cell::plain(count(row.flows)),
        Cell::plain(count(row.names)),
        Cell::plain(or_dash(row.policies.join(","))),
        Cell::plain(or_dash(addresses.join(","))),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}
