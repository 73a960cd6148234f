//! Standard output: for a person or for a program.

use std::io::{self, Write};

use serde::de::DeserializeOwned;

use super::exit::Failure;
use super::{Exit, client};

/// In which form to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For a person
    Table,
    /// For a program, as the API gives it
    Json,
}

/// `-o`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct OutputArg {
    /// In which form to answer
    #[arg(short, long, value_enum, default_value_t = Output::Table, hide_possible_values = true,
          value_name = "table|json")]
    pub output: Output,
}

/// Prints `text`, with its colours where a terminal shows them and `NO_COLOR` is not set, at once.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    written(anstream::stdout().lock(), text.as_bytes())
}

/// Prints bytes as they are.
pub(super) fn print_raw(bytes: &[u8]) -> Result<(), Failure> {
    written(io::stdout().lock(), bytes)
}

/// Prints what the API gave, untouched but for a line end where there is none.
pub(super) fn print_json(json: &[u8]) -> Result<(), Failure> {
    let line_end: &[u8] = if json.ends_with(b"\n") { b"" } else { b"\n" };
    written(io::stdout().lock(), &[json, line_end].concat())
}

fn written(mut to: impl Write, bytes: &[u8]) -> Result<(), Failure> {
    to.write_all(bytes).and_then(|()| to.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(Exit::Failed, format!("cannot write the answer: {error}")),
    })
}

/// Prints what the API answered: untouched for a program, as `render` puts it for a person.
pub(super) fn show<T: DeserializeOwned>(
    form: Output,
    answer: &[u8],
    render: impl FnOnce(&T) -> String,
) -> Result<Exit, Failure> {
    match form {
        Output::Json => print_json(answer)?,
        Output::Table => print(&render(&client::parse(answer)?))?,
    }
    Ok(Exit::Done)
}
