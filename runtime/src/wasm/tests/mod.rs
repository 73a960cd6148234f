//! Modules that do what they like, written in Wasm's own text, and what the engine makes of them.

mod decide;
mod hostile;
mod load;
mod made;
mod sandbox;

use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Compiler, Destination, Engine, Fault, Grants, Limits, Manifest, Module, Policy, Who};

/// An engine without a compiler's process: the program of a unit test has no compiler in it.
fn engine() -> Engine {
    Engine::with(None, Compiler::Here, false).expect("an engine")
}

/// Every grant, and a time that a slow machine keeps as well.
fn generous() -> Manifest {
    Manifest {
        grants: Grants { log: true, counters: true, clock: true },
        limits: Limits { time: Duration::from_millis(200), ..Limits::default() },
        ..Manifest::default()
    }
}

fn load(module: &[u8]) -> Arc<Module> {
    engine().load("test", module, &generous()).expect("loaded")
}

fn policy(module: &[u8]) -> Arc<Policy> {
    load(module).configure(&serde_json::Value::Null).expect("configured")
}

fn attempt() -> Attempt {
    Attempt {
        workload: Arc::new(Who {
            namespace: "shop".to_owned(),
            name: "cart-1".to_owned(),
            labels: [("app".to_owned(), "cart".to_owned())].into(),
            service_account: "cart".to_owned(),
            node: "node-1".to_owned(),
        }),
        destination: Destination {
            address: [192, 0, 2, 1].into(),
            port: 443,
            protocol: 6,
            names: vec!["example.com".into()],
        },
        time: 1_795_420_800_000,
    }
}

/// What a module that is asked once answers with.
fn fault(module: &[u8]) -> Fault {
    policy(module).decide(&attempt()).expect_err("a fault")
}
