//! The thread that tells first packets: from the kernel's numbers to the words of a flow record.

use std::sync::Arc;
use std::time::Duration;

use egret_abi::{Event, RuleId, Said, VerdictKey, action_reason as why};
use jiff::{SignedDuration, Timestamp};

use super::holds::Judge;
use super::node::Node;
use crate::enforce::RuleNames;
use crate::flows::Seen;
use crate::kernel::clock;
use crate::kernel::maps::{FlowTuple, ip};
use crate::kernel::rings::{Ring, Stop, event};
use crate::model::{Action, Destination, Protocol, Reason, Verdict, Verdicts};

/// How long events gather after the first: nobody waits for one, and one wake-up serves many.
const GATHER: Duration = Duration::from_millis(10);
/// ICMPv6, which rules and records call ICMP too.
const ICMP6: u8 = 58;

/// Serves the ring until `stop`.
pub fn serve(mut ring: Ring, node: &Arc<Node>, rules: &RuleNames, judge: &Judge, stop: &Stop) {
    ring.read_until(stop, GATHER, |record| {
        if let Some(event) = event(record) {
            tell(node, rules, judge, &event);
        }
    });
}

fn tell(node: &Node, rules: &RuleNames, judge: &Judge, event: &Event) {
    let Some(workload) = node.workload_at(event.workload) else { return };
    let address = ip(event.remote);
    let names = node.names_of(event.workload, address);
    let mut verdicts = Verdicts {
        applied: verdict(event.applied_why, event.applied, rules),
        observed: verdict(event.observed_why, event.observed, rules),
    };
    let by_module = |verdict: &&mut Verdict| matches!(verdict.reason, Reason::Module | Reason::HeldTimeout);
    for verdict in [&mut verdicts.applied, &mut verdicts.observed].into_iter().filter(by_module) {
        let message = judge.message(event.workload, key(event));
        verdict.message = message.map(|message| message.to_string());
    }
    let name = names.first().cloned().or_else(|| {
        let expired = [&verdicts.applied, &verdicts.observed].iter().any(|v| v.reason == Reason::ExpiredName);
        expired.then(|| node.last_name_of(event.workload, address)).flatten()
    });
    let destination = Destination {
        name,
        names,
        address,
        port: u16::from_be_bytes(event.remote_port),
        protocol: protocol(event.protocol),
    };
    node.totals.add(&workload.namespace, &verdicts);
    let allowed = verdicts.applied.action == Action::Allow;
    if !allowed {
        let enforcing = node.enforcing(&workload.id());
        node.denials.note(&workload, &enforcing, &destination, &verdicts.applied);
    }
    let seen = Seen {
        time: wall_clock(event.time),
        workload,
        destination,
        verdicts,
        packets: 1,
        bytes: event.length.into(),
    };
    let key = node.log.record(seen);
    if allowed {
        node.traffic().begin(event.workload, tuple(event), key, event.length.into());
    }
}

/// What modules were asked about it.
fn key(event: &Event) -> VerdictKey {
    VerdictKey {
        remote: event.remote,
        remote_port: event.remote_port,
        local_port: event.local_port,
        protocol: protocol(event.protocol).0.into(),
    }
}

fn tuple(event: &Event) -> FlowTuple {
    FlowTuple {
        local: event.local,
        remote: event.remote,
        local_port: u16::from_be_bytes(event.local_port),
        remote_port: u16::from_be_bytes(event.remote_port),
        protocol: event.protocol,
    }
}

fn protocol(number: u8) -> Protocol {
    if number == ICMP6 { Protocol::ICMP } else { Protocol(number) }
}

fn wall_clock(monotonic: u64) -> Timestamp {
    let ago = clock::now().saturating_sub(Duration::from_nanos(monotonic));
    let now = Timestamp::now();
    SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok()).unwrap_or(now)
}

fn verdict(reason: u8, said: Said, rules: &RuleNames) -> Verdict {
    let action = if reason & why::DENY != 0 { Action::Deny } else { Action::Allow };
    let verdict = Verdict::of(action, reason_of(reason & !why::DENY));
    if !matches!(verdict.reason, Reason::Rule | Reason::Module | Reason::HeldTimeout) {
        return verdict;
    }
    match said.rule() {
        RuleId::DNS => Verdict { rule: Some("dns".to_owned()), ..verdict },
        id => match rules.get(id) {
            Some(rule) => Verdict {
                module: rule.module().map(str::to_owned),
                policy: Some(rule.policy.to_string()),
                rule: Some(rule.rule),
                ..verdict
            },
            None => verdict,
        },
    }
}

fn reason_of(number: u8) -> Reason {
    match number {
        why::ESTABLISHED => Reason::Established,
        why::REPLY => Reason::Reply,
        why::RULE => Reason::Rule,
        why::MODULE => Reason::Module,
        why::DEFAULT_DENY => Reason::DefaultDeny,
        why::NOT_ENFORCED => Reason::NotEnforced,
        why::UNMANAGED => Reason::Unmanaged,
        why::EXPIRED_NAME => Reason::ExpiredName,
        why::SPOOFED_SOURCE => Reason::SpoofedSource,
        why::FORGED_ANSWER => Reason::ForgedAnswer,
        why::HELD_TIMEOUT => Reason::HeldTimeout,
        why::OVER_QUOTA => Reason::OverQuota,
        why::MAP_FULL => Reason::MapFull,
        // A number that this agent does not know can only come from programs of another one.
        _ => Reason::Unparsed,
    }
}
