//! What a person who types `egret` sees, and what a script gets.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::Ordering;

use crate::memory::{Served, record};

fn egret(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_egret"));
    command.args(arguments).env_remove("EGRET_SOCKET").env_remove("CLICOLOR_FORCE").env("COLUMNS", "100");
    command
}

fn ask(served: &Served, arguments: &[&str]) -> Output {
    egret(arguments).env("EGRET_SOCKET", &served.socket).output().expect("egret runs")
}

/// Standard output of a command that has to succeed.
fn told(served: &Served, arguments: &[&str]) -> String {
    let output = ask(served, arguments);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains('\u{1b}'), "{arguments:?} has no colour where it is piped: {text:?}");
    text
}

#[test]
fn a_person_sees_tables() {
    let served = Served::start();
    insta::assert_snapshot!("status_well", told(&served, &["status"]));
    insta::assert_snapshot!("workloads", told(&served, &["workloads"]));
    insta::assert_snapshot!("names", told(&served, &["names"]));
    insta::assert_snapshot!("names_cut", told(&served, &["names", "payment/api", "--limit", "1"]));
    insta::assert_snapshot!("policies", told(&served, &["policies"]));
    insta::assert_snapshot!("flows", told(&served, &["flows"]));
    insta::assert_snapshot!("flows_denied", told(&served, &["flows", "--denied"]));
    insta::assert_snapshot!("explain", told(&served, &["explain", "payment/api", "github.com"]));
    assert_eq!(told(&served, &["flows", "--denied", "--workload", "a/b"]), "No flow was denied.\n");
    let nobody = told(&served, &["flows", "--would-deny", "--workload", "a/b"]);
    assert_eq!(nobody, "No flow would be denied.\n");
    assert!(told(&served, &["names", "a/b"]).starts_with("No live names"));
    served.memory.well.store(false, Ordering::Relaxed);
    insta::assert_snapshot!("status_not_well", told(&served, &["status"]));
    insta::assert_snapshot!("policies_not_well", told(&served, &["policies"]));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let served = Served::start();
    for (variable, coloured) in [("CLICOLOR_FORCE", true), ("NO_COLOR", false)] {
        for arguments in [
            &["status"][..],
            &["workloads"],
            &["policies"],
            &["flows"],
            &["explain", "payment/api", "a.example"],
        ] {
            let mut command = egret(arguments);
            let command = command.env("EGRET_SOCKET", &served.socket).env(variable, "1");
            let output = command.output().expect("egret runs");
            assert_eq!(output.stdout.contains(&0x1b), coloured, "{variable} {arguments:?}");
        }
    }
}

#[test]
fn a_program_gets_what_the_api_gives() {
    let served = Served::start();
    insta::assert_snapshot!("status_json", told(&served, &["status", "-o", "json"]));
    insta::assert_snapshot!("workloads_json", told(&served, &["workloads", "-o", "json"]));
    insta::assert_snapshot!("names_json", told(&served, &["names", "updates/update", "-o", "json"]));
    insta::assert_snapshot!("policies_json", told(&served, &["policies", "-o", "json"]));
    insta::assert_snapshot!("flows_json", told(&served, &["flows", "-o", "json"]));
    let explain = told(&served, &["explain", "payment/api", "[2001:db8::1]:53/udp", "-o", "json"]);
    insta::assert_snapshot!("explain_json", explain);
}

#[test]
fn follow_prints_rows_as_they_come_and_ends_with_the_agent() {
    let mut served = Served::start();
    let mut child = egret(&["flows", "-f"])
        .env("EGRET_SOCKET", &served.socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("egret runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let first: Vec<_> = lines.by_ref().take(3).collect();
    served.memory.happens(record("alerts", "alert", 3));
    let fresh = lines.next().expect("a row");
    let column = |line: &str| line.find("COUNT").or(line.find(" 3  ")).expect("a column");
    assert!(first[0].starts_with("TIME (UTC)") && fresh.contains("alerts/alert"), "{first:?} {fresh}");
    assert!(
        first.iter().chain([&fresh]).all(|line| column(line).abs_diff(column(&first[0])) < 5),
        "{first:#?}"
    );
    served.drain();
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    let mut error = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut error).expect("read");
    assert!(error.contains("the agent has stopped"), "{error}");
}

#[test]
fn the_exit_code_says_how_it_ended() {
    let served = Served::start();
    let missing = ["status", "--socket", "/nonexistent/egret.sock"];
    for (arguments, code, part) in [
        (&["flows"][..], 0, ""),
        (&["explain", "payment/api", "github.com:443"], 0, ""),
        (&["explain", "ghost/x", "github.com"], 1, "fix: `egret workloads` lists"),
        (&["names", "ghost/x"], 1, "fix: `egret workloads` lists"),
        (&["names", "ghost"], 2, "namespace/name"),
        (&["names", "--limit", "0"], 2, "1..=20000"),
        (&["explain", "payment/api", "2001:db8::1"], 2, "in brackets"),
        (&["explain", "payment", "github.com"], 2, "namespace/name"),
        (&["flows", "--workload", "payment"], 2, "namespace/name"),
        (&["status", "-o", "xml"], 2, "xml"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["agent"], 2, "`workloads` is missing"),
        (&["agent", "--config", "/nonexistent.yaml"], 2, "cannot read /nonexistent.yaml"),
        (&["agent", "--api", "0.0.0.0:9400"], 2, "use 127.0.0.1:9400 or [::1]:9400"),
        (&["agent", "--resolvers", "10.0.0.1,dns.example"], 2, "dns.example"),
        (&missing, 3, "there is no socket /nonexistent/egret.sock"),
    ] {
        let output = ask(&served, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(part), "{arguments:?}: {error}");
        assert!(!error.contains('\u{1b}'), "{arguments:?}: {error:?}");
    }
}

#[test]
fn an_agent_that_is_gone_or_silent_is_told_from_one_that_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("egret.sock");
    let told = || {
        let output = egret(&["status"]).env("EGRET_SOCKET", &socket).output().expect("egret runs");
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    assert!(told().contains("did not answer within 5 s"), "silent");
    drop(listener);
    assert!(told().contains("the agent has stopped"), "gone");
    std::fs::remove_file(&socket).expect("removed");
    assert!(told().contains("egret agent --config FILE"), "never was");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let served = Served::start();
    for arguments in [&["flows", "-f"][..], &["flows", "-o", "json"], &["status"]] {
        let mut child = egret(arguments)
            .env("EGRET_SOCKET", &served.socket)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("egret runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn every_help_ends_with_an_example() {
    for command in [
        &["agent"][..],
        &["status"],
        &["workloads"],
        &["names"],
        &["policies"],
        &["flows"],
        &["explain"],
        &["policy", "check"],
        &["doctor"],
        &["completions"],
        &["man"],
    ] {
        let output = egret(&[command, &["--help"]].concat()).output().expect("egret runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let after = text.split_once("Example:\n").unwrap_or_else(|| panic!("{command:?}: {text}")).1;
        assert!(after.lines().all(|line| line.starts_with("  egret ")), "{command:?}: {after}");
    }
}

#[test]
fn completions_are_scripts_that_the_shells_take() {
    for (shell, check) in [("bash", &["bash", "-n"][..]), ("zsh", &["zsh", "-n"]), ("fish", &["fish", "-n"])]
    {
        let output = egret(&["completions", shell]).output().expect("egret runs");
        assert!(output.status.success() && output.stdout.len() > 1000, "{shell}: {output:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("egret");
        std::fs::write(&script, &output.stdout).expect("written");
        // A machine has bash; where it has the others too, they read theirs.
        match Command::new(check[0]).args(&check[1..]).arg(&script).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {read:?}"),
            Err(error) => assert!(shell != "bash", "{shell}: {error}"),
        }
    }
    assert_eq!(egret(&["completions", "tcsh"]).output().expect("egret runs").status.code(), Some(2));
}

#[test]
fn bash_completes_a_command() {
    let script = egret(&["completions", "bash"]).output().expect("egret runs").stdout;
    let ask = "\nCOMP_WORDS=(egret wor) COMP_CWORD=1\n_egret egret wor egret\necho \"${COMPREPLY[@]}\"\n";
    let output = Command::new("bash")
        .args(["-c", &(String::from_utf8(script).expect("UTF-8") + ask)])
        .output()
        .expect("bash runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "workloads", "{output:?}");
}
