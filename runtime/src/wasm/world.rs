//! A component held against the contract: what it exports, and what it imports that it was granted.

use egret_contract::shown;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Engine, Result};

use super::bindings::{AnswersPre, WorldPre, clock, counters, log};
use super::host::Host;
use super::manifest::Grants;
use super::refused::Refused;
use super::sandbox;

/// What a component imports, in words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Imports {
    pub log: bool,
    pub counters: bool,
    pub clock: bool,
    /// Anything of WASI.
    pub wasi: bool,
}

const EXPORTS: [&str; 3] = ["describe", "configure", "decide"];
const ON_ANSWER: &str = "on-answer";

/// A component with all that it imports: what it exports, as the contract has it.
#[derive(Clone)]
pub(super) struct Linked {
    pub world: WorldPre<Host>,
    /// If it is told of DNS answers.
    pub answers: Option<AnswersPre<Host>>,
}

/// Looks at what the component exports and imports.
///
/// # Errors
/// The first thing that does not fit.
pub(super) fn imports(engine: &Engine, component: &Component) -> Result<Imports, Refused> {
    let ty = component.component_type();
    if let Some(missing) = EXPORTS.into_iter().find(|name| !exports(engine, component, name)) {
        return Err(Refused::Missing(missing));
    }
    let mut imports = Imports::default();
    for (name, _) in ty.imports(engine) {
        note(&mut imports, name)?;
    }
    Ok(imports)
}

fn exports(engine: &Engine, component: &Component, name: &str) -> bool {
    component
        .component_type()
        .exports(engine)
        .any(|(export, item)| export == name && matches!(item.ty, ComponentItem::ComponentFunc(_)))
}

fn note(imports: &mut Imports, name: &str) -> Result<(), Refused> {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let field = match interface {
        "egret:policy/types" | "egret:policy/dns" => None,
        "egret:policy/log" => Some(&mut imports.log),
        "egret:policy/counters" => Some(&mut imports.counters),
        "egret:policy/clock" => Some(&mut imports.clock),
        _ if in_sandbox(interface) && version.starts_with("0.2.") => Some(&mut imports.wasi),
        _ => return Err(Refused::Import(shown(name, 200))),
    };
    if interface.starts_with("egret:") && !version.starts_with("0.1.") {
        return Err(Refused::Version(shown(name, 200)));
    }
    if let Some(field) = field {
        *field = true;
    }
    Ok(())
}

/// Whether the empty machine has it. What sends and receives over HTTP, for one, is not there at all.
fn in_sandbox(interface: &str) -> bool {
    const PACKAGES: [&str; 6] =
        ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];
    PACKAGES.iter().any(|package| interface.starts_with(package))
}

/// # Errors
/// The first interface that is imported and not granted.
pub(super) fn check_grants(imports: Imports, grants: Grants) -> Result<(), Refused> {
    let interfaces = [
        (imports.log, grants.log, "log"),
        (imports.counters, grants.counters, "counters"),
        (imports.clock, grants.clock, "clock"),
    ];
    match interfaces.into_iter().find(|(imported, granted, _)| *imported && !granted) {
        Some((_, _, grant)) => Err(Refused::NotGranted { interface: format!("egret:policy/{grant}"), grant }),
        None => Ok(()),
    }
}

/// Links what is imported, and nothing else.
///
/// # Errors
/// Where the types of imports or exports differ from the contract's.
pub(super) fn link(engine: &Engine, component: &Component, imports: Imports) -> Result<Linked, Refused> {
    let mut linker = Linker::<Host>::new(engine);
    let add = |linker: &mut Linker<Host>| -> Result<()> {
        if imports.log {
            log::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
        }
        if imports.counters {
            counters::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
        }
        if imports.clock {
            clock::add_to_linker::<_, HasSelf<_>>(linker, |host| host)?;
        }
        if imports.wasi {
            sandbox::link(linker)?;
        }
        Ok(())
    };
    let misfit = |error: wasmtime::Error| Refused::World(shown(&format!("{error:#}"), 500));
    add(&mut linker).map_err(misfit)?;
    let linked = linker.instantiate_pre(component).map_err(misfit)?;
    let answers = exports(engine, component, ON_ANSWER).then(|| AnswersPre::new(linked.clone()));
    Ok(Linked {
        world: WorldPre::new(linked).map_err(misfit)?,
        answers: answers.transpose().map_err(misfit)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_import_is_known_by_name_and_version_or_refused() {
        let told = |name: &str| {
            let mut imports = Imports::default();
            note(&mut imports, name).map(|()| imports).map_err(|refused| refused.to_string())
        };
        assert!(told("egret:policy/log@0.1.0").expect("known").log);
        assert!(told("egret:policy/clock@0.1.7").expect("known").clock);
        assert!(told("wasi:cli/environment@0.2.3").expect("known").wasi);
        assert_eq!(told("egret:policy/types@0.1.0"), Ok(Imports::default()));
        for (name, words) in [
            ("egret:policy/log@0.2.0", "this agent has version 0.1"),
            ("egret:policy/log", "this agent has version 0.1"),
            ("egret:policy/files@0.1.0", "which no module gets"),
            ("wasi:cli/environment@0.3.0", "which no module gets"),
            ("wasi:http/outgoing-handler@0.2.3", "which no module gets"),
            ("env", "which no module gets"),
        ] {
            let error = told(name).map(|_| String::new()).unwrap_or_else(|error| error);
            assert!(error.contains(words), "{name}: {error}");
        }
    }
}
