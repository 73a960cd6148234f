//! The test kit: a policy as a plain function, and the agent's interfaces simulated. Not there in a module.

use std::cell::RefCell;

use egret_contract::cases::{Asked, Cases, Expect, Seen};
use egret_contract::windows::Windows;
use egret_contract::{Attempt, Decision, Destination, DnsAnswer, Input, Opinion, Workload, capped};

use crate::policy::{Policy, read_settings, schema};

pub use egret_contract::cases;

/// The longest schema that an agent takes, in bytes.
const MAX_SCHEMA: usize = 64 << 10;

#[derive(Default)]
struct Simulated {
    windows: Windows,
    now: u64,
}

thread_local! {
    static HOST: RefCell<Simulated> = RefCell::default();
}

pub(crate) fn host<R>(ask: impl FnOnce(&mut Windows, u64) -> R) -> R {
    HOST.with_borrow_mut(|host| ask(&mut host.windows, host.now))
}

/// Forgets all that was counted on this thread.
pub fn forget_counters() {
    HOST.set(Simulated::default());
}

/// What a policy decides, as an agent would ask it and count it: inputs that it does not declare are empty, and scope and
/// time are capped by those that it does.
pub fn decide<P: Policy>(attempt: &Attempt, settings: &P::Settings) -> Decision {
    HOST.with_borrow_mut(|host| host.now = attempt.time);
    let attempt = seen_through::<P>(attempt);
    let has_names = !attempt.destination.names.is_empty();
    let decision = P::decide(&attempt, settings);
    let asked = (decision.scope, decision.ttl);
    let (scope, ttl, _) = capped(asked, |input| P::INPUTS.contains(&input), has_names);
    Decision { scope, ttl, ..decision }
}

/// What a policy says of a DNS answer, as an agent would tell it: inputs that it does not declare are empty.
pub fn on_answer<P: Policy>(answer: &DnsAnswer, settings: &P::Settings) -> Opinion {
    HOST.with_borrow_mut(|host| host.now = answer.time);
    let declares = |input| P::INPUTS.contains(&input);
    let answer = answer.clone();
    let seen = DnsAnswer {
        workload: if declares(Input::Workload) { answer.workload } else { Workload::default() },
        name: if declares(Input::Names) { answer.name } else { String::new() },
        addresses: if declares(Input::Address) { answer.addresses } else { Vec::new() },
        time: if declares(Input::Time) { answer.time } else { 0 },
        ..answer
    };
    P::on_answer(&seen, settings)
}

/// The attempt without what the policy does not declare.
fn seen_through<P: Policy>(attempt: &Attempt) -> Attempt {
    let declares = |input| P::INPUTS.contains(&input);
    let Destination { address, port, protocol, names } = attempt.destination.clone();
    let blank = Destination::default();
    let address = if declares(Input::Address) { address } else { blank.address };
    let (port, protocol) =
        if declares(Input::Port) { (port, protocol) } else { (blank.port, blank.protocol) };
    Attempt {
        workload: if declares(Input::Workload) { attempt.workload.clone() } else { Workload::default() },
        destination: Destination {
            address,
            port,
            protocol,
            names: if declares(Input::Names) { names } else { blank.names },
        },
        time: if declares(Input::Time) { attempt.time } else { 0 },
    }
}

/// Runs the cases of a file on a policy.
///
/// # Errors
/// What is wrong with the file, or each case that answered otherwise, a line each.
pub fn check<P: Policy>(cases: &str) -> Result<(), String> {
    let cases = Cases::parse(cases)?;
    let schema = schema::<P>().len();
    if schema > MAX_SCHEMA {
        return Err(format!("the schema of the settings has {schema} bytes; the most is {MAX_SCHEMA}"));
    }
    let told = cases.cases.iter().filter_map(|case| {
        forget_counters();
        let settings = read_settings::<P::Settings>(&cases.settings_of(case).to_string());
        let settings = match (settings, &case.refused) {
            (Ok(_), Some(_)) => return Some(format!("{}: the settings were not refused", case.name)),
            (Err(error), Some(part)) if error.contains(part) => return None,
            (Err(error), _) => return Some(format!("{}: the settings are refused: {error}", case.name)),
            (Ok(settings), None) => settings,
        };
        let mut steps = cases.steps_of(case).into_iter().enumerate();
        steps.find_map(|(at, (asked, expect))| {
            let step = if case.steps.is_empty() { String::new() } else { format!(", step {}", at + 1) };
            ask::<P>(&asked, &expect, &settings).err().map(|why| format!("{}{step}: {why}", case.name))
        })
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { Ok(()) } else { Err(told.join("\n")) }
}

fn ask<P: Policy>(asked: &Asked, expect: &Expect, settings: &P::Settings) -> Result<(), String> {
    match asked {
        Asked::Attempt(attempt) => {
            let decision = decide::<P>(attempt, settings);
            expect.check(&Seen { answer: &decision.answer, scope: decision.scope, ttl: decision.ttl })
        }
        Asked::DnsAnswer(answer) => expect.check_opinion(&answer.name, &on_answer::<P>(answer, settings)),
    }
}

/// A test that runs a file of cases on a policy: `egret_sdk::cases!(Policy, "../cases.yaml");`. The path is relative to
/// the file that says this.
#[macro_export]
macro_rules! cases {
    ($policy:ty, $file:literal) => {
        #[test]
        fn the_cases_are_answered_as_they_say() {
            if let Err(told) = $crate::testing::check::<$policy>(include_str!($file)) {
                panic!("\n{told}");
            }
        }
    };
}
