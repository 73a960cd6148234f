//! One decision of a module, without packets: all that is done for it on one processor, the making of instances too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use egret::wasm::{Answer, Attempt, Compiler, Destination, Engine, Manifest, Policy, Who};
use egret_tests::modules::component;
use serde_json::json;

use super::MODULE;
use crate::Effort;
use crate::machine::on_one_processor;
use crate::report::{Row, Target, median};

/// Every row of the table.
pub fn measure(effort: Effort) -> Result<Vec<Row>> {
    let component = component(MODULE)?;
    on_one_processor(|| {
        let engine = Engine::with(None, Compiler::Here, false)?;
        let policy = |reuse| -> Result<Arc<Policy>> {
            let manifest = Manifest { reuse, ..Manifest::default() };
            let module =
                engine.load("obedient", &component, &manifest).map_err(|refused| anyhow!("{refused}"))?;
            module.configure(&json!({"allow": [443]})).map_err(|fault| anyhow!("{fault}"))
        };
        let rivals = [policy(u32::MAX)?, policy(1000)?, policy(1)?];
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=effort.rounds() {
            for (policy, times) in rivals.iter().zip(&mut times) {
                let time = decide(policy, effort.pick(Duration::from_millis(200), Duration::from_millis(5)))?;
                // The first round makes caches warm.
                if round > 0 {
                    times.push(time);
                }
            }
        }
        let row = |what, times: &[f64]| Row::alone(what, median(times), "us");
        // The figures that these are a part of were measured elsewhere: docs/benchmarks.md.
        Ok(vec![
            row("the same instance", &times[0]).wanted(Target::AtMost(0.26)),
            row("reuse: 1000", &times[1]),
            row("a fresh instance each", &times[2]).wanted(Target::AtMost(16.4)),
        ])
    })
}

/// Microseconds of each decision, on average.
fn decide(policy: &Policy, length: Duration) -> Result<f64> {
    let attempt = attempt();
    let (begun, mut decisions) = (Instant::now(), 0_u32);
    while begun.elapsed() < length {
        for _ in 0..16 {
            let decision = policy.decide(&attempt).map_err(|fault| anyhow!("{fault}"))?;
            ensure!(decision.answer == Answer::Allow, "the module says {decision:?}");
            policy.tidy();
            decisions += 1;
        }
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(decisions))
}

fn attempt() -> Attempt {
    let text = str::to_owned;
    let who = Who {
        namespace: text("bench"),
        name: text("client"),
        labels: BTreeMap::from([(text("app"), text("client"))]),
        ..Who::default()
    };
    Attempt {
        workload: Arc::new(who),
        destination: Destination {
            address: [192, 0, 2, 1].into(),
            port: 443,
            protocol: 6,
            names: vec!["api.example.com".into()],
        },
        time: 1_764_000_000_000,
    }
}
