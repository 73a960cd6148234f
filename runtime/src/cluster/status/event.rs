//! Events as the API server takes them. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::ObjectMeta;

use super::node::shortened;

/// Where events are of what is in no namespace. They name it as that of the object as well: not all API servers take an event
/// whose own namespace is another one.
const OF_NO_NAMESPACE: &str = "default";
/// Characters of what an event says, and the bytes that the API server takes.
const NOTE: usize = 500;
const NOTE_BYTES: usize = 1024;
/// Characters of the name of an object in that of an event.
const NAME: usize = 200;
const INSTANCE: usize = 128;

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// In one word, for machines.
    pub reason: &'a str,
    /// What was done.
    pub action: &'a str,
    /// In a sentence.
    pub note: &'a str,
}

/// A warning on `regarding` by the agent of `node`. Of two with one `number` the API server takes the first.
pub fn warning(
    mut regarding: ObjectReference,
    said: Said<'_>,
    number: i128,
    node: &str,
    now: Timestamp,
) -> Event {
    let namespace = regarding.namespace.get_or_insert_with(|| OF_NO_NAMESPACE.to_owned()).clone();
    let mut note = shortened(said.note, NOTE);
    note.truncate(note.floor_char_boundary(NOTE_BYTES));
    let name: String = regarding.name.iter().flat_map(|name| name.chars()).take(NAME).collect();
    let name = name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{number:x}")),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some(said.reason.to_owned()),
        action: Some(said.action.to_owned()),
        note: Some(note),
        event_time: Some(MicroTime(now)),
        reporting_controller: Some("egret.dev/agent".to_owned()),
        reporting_instance: Some(shortened(node, INSTANCE)),
        regarding: Some(regarding),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_is_to_be_said_and_is_of_its_object_whatever_names_say() {
        let regarding = |namespace: Option<&str>| ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: namespace.map(str::to_owned),
            name: Some("w".repeat(253)),
            uid: Some("u1".to_owned()),
            ..ObjectReference::default()
        };
        let note = format!("denied x:443/TCP: {}", "ü".repeat(3000));
        let said = Said { reason: "EgressDenied", action: "Deny", note: &note };
        for (namespace, expected) in [(Some("shop"), "shop"), (None, "default")] {
            let written = warning(regarding(namespace), said, 10, "worker-1", Timestamp::UNIX_EPOCH);
            assert_eq!(written.regarding, Some(regarding(Some(expected))));
            assert_eq!(written.metadata.namespace.as_deref(), Some(expected));
            assert!(written.metadata.name.is_some_and(|name| name.len() <= 253 && name.ends_with("w.a")));
            assert!(
                written.note.is_some_and(|note| note.starts_with("denied x:443/TCP") && note.len() <= 1024)
            );
        }
    }
}
