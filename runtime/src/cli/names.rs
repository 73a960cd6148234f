//! `egret names`: which names lead where, and for how long.

use crate::api::{NameRow, Names};
use crate::model::WorkloadId;

use super::client::{self, SocketArg, encode};
use super::exit::Failure;
use super::output::{OutputArg, print, print_json};
use super::quantity::of;
use super::table::{Cell, Column, table};
use super::{Exit, Output};

const EXAMPLE: &str = "\
Names are what a workload's own look-ups at trusted resolvers gave: what `fqdn` rules go by.
LEFT is how long an address still counts for new connections.
The latest looked-up name of each workload comes first.

Example:
  egret names
  egret names payment/api
  egret names payment/api --limit 20000 -o json | jq -r '.names[].name' | sort -u";

/// List the names that workloads looked up, their addresses, and how long these still count
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Only of this workload
    #[arg(value_name = "NAMESPACE/NAME")]
    workload: Option<WorkloadId>,
    /// How many at most, 1 to 20000
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    limit: u32,
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let mut target = format!("/v1/names?limit={}", args.limit);
    if let Some(workload) = &args.workload {
        target += &format!("&workload={}", encode(&workload.to_string()));
    }
    let answer = args.socket.client().get(&target).await?;
    match args.output.output {
        Output::Json => print_json(&answer)?,
        Output::Table => print(&render(&client::parse(&answer)?))?,
    }
    Ok(Exit::Done)
}

const COLUMNS: [Column; 4] = [
    Column { title: "WORKLOAD", width: 0, number: false },
    Column { title: "NAME", width: 0, number: false },
    Column { title: "ADDRESS", width: 0, number: false },
    Column { title: "LEFT", width: 0, number: true },
];

fn render(Names { names, total }: &Names) -> String {
    if names.is_empty() {
        return "No live names: nothing was looked up at a trusted resolver, or all of it has expired.\n"
            .to_owned();
    }
    let mut text = table(&COLUMNS, &names.iter().map(cells).collect::<Vec<_>>());
    let more = total.saturating_sub(names.len() as u64);
    if more > 0 {
        let more = of(more, "more is", "more are");
        text += &format!("\n{more} not shown: name a workload, or raise --limit.\n");
    }
    text
}

fn cells(row: &NameRow) -> Vec<Cell> {
    vec![
        Cell::plain(row.workload.to_string()),
        Cell::plain(row.name.as_str()),
        Cell::plain(row.address.to_string()),
        Cell::plain(left(row.seconds_left)),
    ]
}

/// A time in its two largest units.
fn left(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_is_told_in_two_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (3599, "59m59s"),
            (3661, "1h01m"),
            (86_399, "23h59m"),
            (7 * 86_400, "7d00h"),
        ] {
            assert_eq!(left(seconds), expected);
        }
    }
}
