//! `modules`: which policy modules are asked, when, and with which settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ModuleStage, ModuleUse};

use super::super::problem::Span;
use super::super::yaml::{Entry, Node};
use super::reader::{Fields, Reader, Shape};
use super::{settings, words};

/// The most modules of a policy: each may cost its time for every first packet.
const MAX_MODULES: usize = 8;

const MODULE: Shape = Shape {
    what: "an entry of modules",
    keys: &["name", "stage", "settings"],
    later: &[],
    misplaced: &[],
    synonyms: &[("module", "name"), ("when", "stage"), ("config", "settings"), ("parameters", "settings")],
};

const LIST_FIX: &str = "write `modules:` and under it `- {name: NAME, stage: unmatched}`";
const NAME_FIX: &str = "use 1 to 63 lower-case letters, digits and `-` (not first or last)";
const STAGE_FIX: &str = "write `stage: unmatched` to ask it where no rule speaks, `stage: always` to let it deny what rules allow, `stage: answers` to tell it of DNS answers";
const STAGES: [(&str, ModuleStage); 3] = [
    ("unmatched", ModuleStage::Unmatched),
    ("always", ModuleStage::Always),
    ("answers", ModuleStage::Answers),
];

/// The modules of a spec, each with the place of its name.
pub(super) fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<(Span, ModuleUse)> {
    let Some(entry) = fields.get("modules") else { return Vec::new() };
    let Some(items) = reader.list(entry, LIST_FIX) else { return Vec::new() };
    if let Some(beyond) = items.get(MAX_MODULES) {
        let reason = format!("the policy has {} modules; the most is {MAX_MODULES}", items.len());
        reader.refuse(beyond.at, reason, "take some out, or write them in another policy");
    }
    let read: Vec<_> = items.iter().take(MAX_MODULES).filter_map(|node| module(reader, node)).collect();
    refuse_twins(reader, &read);
    read
}

/// Refuses the first module of stage `unmatched` where `read` are those of a policy that denies nothing by default.
pub(super) fn refuse_unmatched(reader: &mut Reader<'_>, read: &[(Span, ModuleUse)]) {
    let Some((at, module)) = read.iter().find(|(_, module)| module.stage == ModuleStage::Unmatched) else {
        return;
    };
    let reason = format!(
        "what the module `{}` allows is allowed anyway: the policy denies nothing by default",
        module.name
    );
    reader.refuse(*at, reason, "add `default: Deny`, or write `stage: always` if the module is to deny only");
}

fn module(reader: &mut Reader<'_>, node: &Node) -> Option<(Span, ModuleUse)> {
    let fields = reader.fields(node, node.at, &MODULE)?;
    let name = fields
        .require(reader, "name", "write `name: NAME`, that of the module")
        .and_then(|entry| Some((entry.node.at, name(reader, entry)?)));
    let stage = fields.require(reader, "stage", STAGE_FIX).and_then(|entry| reader.word(entry, &STAGES));
    let settings = match fields.get("settings") {
        Some(entry) => settings::read(reader, entry),
        None => Some(settings::NONE.into()),
    };
    let (at, name) = name?;
    Some((at, ModuleUse { name, stage: stage?, settings: settings? }))
}

fn name(reader: &mut Reader<'_>, entry: &Entry) -> Option<Arc<str>> {
    let text = reader.text(entry, NAME_FIX)?;
    if words::is_label(text) {
        return Some(text.into());
    }
    reader.refuse(entry.node.at, format!("`{text}` cannot be the name of a module"), NAME_FIX);
    None
}

/// A verdict names its module by policy and name.
fn refuse_twins(reader: &mut Reader<'_>, modules: &[(Span, ModuleUse)]) {
    let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
    for (at, module) in modules {
        if let Some(first) = seen.get(&*module.name) {
            let reason = format!("the module `{}` is asked already, at line {}", module.name, first.line);
            reader.refuse(*at, reason, "write it once, or the other time in a policy of its own");
        } else {
            seen.insert(&module.name, *at);
        }
    }
}
