//! `egret policies`: what is in force, on whom, and what was refused.

use owo_colors::Style;

use crate::api::{Policies, PolicyRow};
use crate::model::{Mode, Scope};

use super::Exit;
use super::client::SocketArg;
use super::exit::Failure;
use super::output::{OutputArg, show};
use super::quantity::{count, of};
use super::status::problems;
use super::table::{Cell, Column, clean, table};

const EXAMPLE: &str = "\
DEFAULT is what becomes of a destination in SCOPE that no rule names. A policy without a namespace before its name is of
the cluster; its CEILING is how many entries bound what policies of namespaces may allow.
A note is about services and pods that a rule names: one that is not there is allowed nothing, and is no mistake.
`egret policy check` tells what is wrong with a file before the agent reads it.

Example:
  egret policies
  egret policies -o json | jq '.policies[] | select(.workloads == []).origin'";

/// How many workloads a row names.
const NAMED: usize = 3;

/// List the policies in force, whom they select, and what was refused
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    output: OutputArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub(super) async fn run(args: Args) -> Result<Exit, Failure> {
    let answer = args.socket.client().get("/v1/policies").await?;
    show(args.output.output, &answer, render)
}

const COLUMNS: [Column; 9] = [
    Column { title: "POLICY", width: 0, number: false },
    Column { title: "MODE", width: 0, number: false },
    Column { title: "SCOPE", width: 0, number: false },
    Column { title: "DEFAULT", width: 0, number: false },
    Column { title: "ALLOW", width: 0, number: true },
    Column { title: "DENY", width: 0, number: true },
    Column { title: "CEILING", width: 0, number: true },
    Column { title: "PLACE", width: 0, number: false },
    Column { title: "WORKLOADS", width: 0, number: false },
];

fn render(told: &Policies) -> String {
    let policies = if told.policies.is_empty() {
        "No policy is in force: nothing is denied.\n".to_owned()
    } else {
        table(&COLUMNS, &told.policies.iter().map(cells).collect::<Vec<_>>())
    };
    policies + &notes(&told.policies) + &problems(&told.problems)
}

/// What is in force and leads elsewhere than one may think.
fn notes(rows: &[PolicyRow]) -> String {
    let of_row = |row: &PolicyRow| {
        let id = row.id();
        row.notes.iter().map(|note| format!("note: {id} {}\n", clean(note))).collect::<String>()
    };
    let all: String = rows.iter().map(of_row).collect();
    if all.is_empty() { all } else { format!("\n{all}") }
}

fn cells(row: &PolicyRow) -> Vec<Cell> {
    let mode = match row.mode {
        Mode::Enforce => Cell::styled("Enforce", Style::new().green()),
        Mode::Observe => Cell::styled("Observe", Style::new().yellow()),
    };
    let scope = match row.scope {
        Scope::Internet => "internet",
        Scope::All => "all",
    };
    let workloads = if row.workloads.is_empty() {
        Cell::styled("none", Style::new().yellow())
    } else {
        Cell::plain(workloads(&row.workloads))
    };
    vec![
        Cell::plain(row.id().to_string()),
        mode,
        Cell::plain(scope),
        Cell::plain(if row.denies_by_default { "Deny" } else { "-" }),
        Cell::plain(count(row.allow)),
        Cell::plain(count(row.deny)),
        Cell::plain(row.ceiling.map_or_else(|| "-".to_owned(), count)),
        Cell::plain(format!("{}:{}", row.origin.file, row.origin.line)),
        workloads,
    ]
}

/// The first of them, and how many more.
fn workloads(all: &[String]) -> String {
    let (named, others) = all.split_at(all.len().min(NAMED));
    match others.len() as u64 {
        0 => named.join(", "),
        more => format!("{} and {}", named.join(", "), of(more, "more", "more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_many_workloads_names_the_first_and_counts_the_others() {
        let all: Vec<_> = ["a/1", "a/2", "a/3", "a/4", "a/5"].map(str::to_owned).into();
        assert_eq!(workloads(&all[..1]), "a/1");
        assert_eq!(workloads(&all[..3]), "a/1, a/2, a/3");
        assert_eq!(workloads(&all), "a/1, a/2, a/3 and 2 more");
    }

    #[test]
    fn what_a_rule_names_and_is_not_known_is_told_below_the_table() {
        let text = "apiVersion: egret.dev/v1alpha1\nkind: EgressPolicy\nmetadata: {name: web, namespace: shop}\nspec: {podSelector: {}, \
                    mode: Enforce, scope: all, allow: [{name: db, to: [{service: {name: db}}]}]}\n";
        let policies = crate::policy::parse("web.yaml", text).expect("good");
        let row = PolicyRow::new(&policies[0], Vec::new());
        assert_eq!(notes(&[row]), "\nnote: shop/web db: what it names in the cluster is not known yet\n");
        assert_eq!(notes(&[]), "");
    }
}
