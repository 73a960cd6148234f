//! `egret man`: the manual, a page for each command, from the same words as `--help`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Command;
use clap_mangen::Man;

use super::Exit;
use super::exit::Failure;
use super::output::print;

const EXAMPLE: &str = "\
Example:
  egret man /usr/local/share/man/man1";

/// Write the manual pages into a folder
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The folder; it is made where it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, mut command: Command) -> Result<Exit, Failure> {
    command = command.disable_help_subcommand(true);
    command.build();
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder).and_then(|()| write(&command, &args.folder)).map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write the pages to {folder}: {error}"))
    })?;
    print(&format!("The pages are in {folder}; `man -l {folder}/egret.1` shows the first.\n"))?;
    Ok(Exit::Done)
}

/// The page of `command`, and those of the commands below it.
fn write(command: &Command, folder: &Path) -> io::Result<()> {
    let source = concat!("Egret ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("Egret").generate_to(folder)?;
    command.get_subcommands().try_for_each(|sub| write(sub, folder))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::CommandLine;
    use super::*;

    /// The commands below `command`, each as its page is called.
    fn pages(command: &Command, name: &str) -> Vec<String> {
        let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        let below = below.flat_map(|sub| pages(sub, &format!("{name}-{}", sub.get_name())));
        std::iter::once(name.to_owned()).chain(below).collect()
    }

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("made/man1");
        run(&Args { folder: folder.clone() }, CommandLine::command()).expect("written");
        let pages = pages(&CommandLine::command(), "egret");
        assert!(pages.len() > 10 && pages.contains(&"egret-policy-check".to_owned()), "{pages:?}");
        for page in &pages {
            let text = fs::read_to_string(folder.join(format!("{page}.1"))).expect(page);
            assert!(
                text.contains(&format!(".TH {page} 1")) && text.contains(".SH SYNOPSIS"),
                "{page}: {text}"
            );
            assert!(
                text.contains("Example:") || ["egret-module", "egret-policy"].contains(&page.as_str()),
                "{page}: {text}"
            );
        }
        assert_eq!(fs::read_dir(folder).expect("there").count(), pages.len(), "and no other page");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_of() {
        let args = Args { folder: "/proc/nowhere".into() };
        let Err(Failure::Told { error, .. }) = run(&args, CommandLine::command()) else { panic!("written") };
        assert!(error.contains("cannot write the pages to /proc/nowhere"), "{error}");
    }
}
