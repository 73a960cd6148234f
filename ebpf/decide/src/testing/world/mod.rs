//! The tables over plain collections, and one workload on them.

mod tables;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use egret_abi::{
    Address, Binding, Budget, CachedVerdict, Call, Class, Config, Counter, Dest, DestKey, Epoch, Event,
    First, Flow, Flow4Key, Flow6Key, Fragment, FragmentKey, Generation, Inbound, OwnKey, Ports, Probe, Query,
    QueryKey, RuleId, RuleKey, RuleValue, Ruleset, RulesetId, Said, Slot, Tick, VerdictKey, Waiting,
    WorkloadIndex,
};

use crate::egress::Findings;
use crate::ingress::{Piece, is_asked_for, piece};
use crate::testing::frame::{Ends, Frame};
pub use crate::testing::frame::{both, to_resolver};
use crate::{Egress, Ingress, Tables};

pub const POD: WorkloadIndex = WorkloadIndex(7);
pub const RULESET: RulesetId = RulesetId(3);
/// A name's class, another's, and one of addresses.
pub const NAME: Class = Class::name(5);
pub const OTHER: Class = Class::name(6);
pub const RANGE: Class = Class(9);
pub const RULE: RuleId = RuleId(20);
pub const START: Tick = Tick(1000);
pub const GRACE: Tick = Tick(100);
pub const IDLE: Tick = Tick(50);
pub const ARMING: Tick = Tick(20);

pub fn address(of: IpAddr) -> Address {
    match of {
        IpAddr::V4(of) => Address::v4(of.octets()),
        IpAddr::V6(of) => Address(of.octets()),
    }
}

/// What the policies in force say, and what all say.
pub const fn says(applied: Said, observed: Said) -> RuleValue {
    RuleValue { applied, observed, tiers: [First::NOTHING; 2] }
}

pub const ALLOWED: RuleValue = says(Said::allow(RULE), Said::allow(RULE));
pub const DENIED: RuleValue = says(Said::deny(RULE), Said::deny(RULE));

/// What becomes of a packet toward the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It goes on.
    Pass,
    /// It is held until it was learned from.
    Learn,
    /// It is held, and may be part of what is learned.
    Follow,
}

/// What the agent writes is plain; what the programs write, and what they asked, is behind cells.
#[derive(Default)]
pub struct World {
    pub now: Tick,
    pub config: Config,
    pub workloads: HashMap<WorkloadIndex, Generation>,
    pub rulesets: HashMap<RulesetId, Ruleset>,
    pub own: HashSet<OwnKey>,
    pub resolvers: HashSet<OwnKey>,
    pub bindings: HashMap<OwnKey, Binding>,
    dests: Vec<(u32, DestKey, Dest)>,
    rules: Vec<(u32, RuleKey, RuleValue)>,
    /// Nothing more can be remembered.
    pub full: bool,
    flows4: RefCell<HashMap<(WorkloadIndex, Flow4Key), Flow>>,
    flows6: RefCell<HashMap<(WorkloadIndex, Flow6Key), Flow>>,
    inbound4: RefCell<HashMap<(WorkloadIndex, Flow4Key), Inbound>>,
    inbound6: RefCell<HashMap<(WorkloadIndex, Flow6Key), Inbound>>,
    calls: RefCell<HashMap<(WorkloadIndex, Flow6Key), Call>>,
    pub fragments: RefCell<HashMap<(WorkloadIndex, FragmentKey), Fragment>>,
    pub queries: RefCell<HashMap<(WorkloadIndex, QueryKey), Query>>,
    pub verdicts: HashMap<(WorkloadIndex, VerdictKey), CachedVerdict>,
    pub waiting: RefCell<HashMap<(WorkloadIndex, Flow6Key), Waiting>>,
    budgets: RefCell<HashMap<WorkloadIndex, Budget>>,
    pub probes: RefCell<HashMap<WorkloadIndex, Probe>>,
    findings: RefCell<Findings>,
    counted: RefCell<Vec<Counter>>,
    events: RefCell<Vec<Event>>,
    asked: RefCell<Vec<&'static str>>,
}

impl World {
    /// One workload in epoch 1 whose policy is in force and denies every place by default.
    pub fn new() -> Self {
        let deny = [1; 3];
        let mut world = Self {
            now: START,
            config: Config {
                least: Tick::lasting_seconds(30),
                searches: 0,
                mark: 1,
                flow_grace: GRACE,
                idle: IDLE,
                refusals: 3,
                events: 1000,
                keep: 0,
                answers: 1,
                arming_until: START.plus(ARMING),
                door: egret_abi::INSIDE,
                gate: 0,
                gate_mark: 2,
                holds: 100,
                cuts: 0,
            },
            ..Self::default()
        };
        world.enter(1);
        let ruleset = Ruleset {
            applied_default: deny,
            observed_default: deny,
            enforced: 1,
            denies_ranges: 1,
            ..Ruleset::default()
        };
        world.rulesets.insert(RULESET, ruleset);
        for ends in both(0) {
            world.own.insert(own(ends.from));
        }
        for ends in to_resolver() {
            world.resolvers.insert(own(ends.to));
        }
        world
    }

    /// The policy of the workload has changed.
    pub fn enter(&mut self, epoch: u32) {
        self.workloads.insert(POD, Generation::new(Epoch(epoch), RULESET));
    }

    pub fn ruleset(&mut self) -> &mut Ruleset {
        self.rulesets.get_mut(&RULESET).unwrap()
    }

    /// The workload's own look-up gave `class` for the address, until `until`.
    pub fn bind(&mut self, to: SocketAddr, class: Class, until: Tick) {
        let binding = self.bindings.entry(own(to)).or_default();
        let free = binding.slots.iter_mut().find(|slot| slot.class == Class::NONE).unwrap();
        *free = Slot { class, until };
    }

    /// A range, as `192.0.2.0/24`, is of a class and a kind.
    pub fn range(&mut self, range: &str, class: Class, kind: u32) {
        let (start, bits) = range.split_once('/').unwrap();
        let key = match start.parse().unwrap() {
            IpAddr::V4(start) => DestKey::v4(RULESET, start.octets()),
            IpAddr::V6(start) => DestKey::v6(RULESET, start.octets()),
        };
        let bits: u32 = bits.parse().unwrap();
        self.dests.push((DestKey::FIXED_BITS + bits, key, Dest { class, kind }));
    }

    /// For every protocol of `class`.
    pub fn any(&mut self, class: Class, value: RuleValue) {
        self.rules.push((RuleKey::ANY_PROTOCOL_BITS, RuleKey::new(RULESET, class, 0, [0; 2]), value));
    }

    /// For the ports of `class` that begin with the `bits` first bits of `port`.
    pub fn ports(&mut self, class: Class, protocol: u8, port: u16, bits: u32, value: RuleValue) {
        let key = RuleKey::new(RULESET, class, protocol, port.to_be_bytes());
        self.rules.push((RuleKey::PROTOCOL_BITS + bits, key, value));
    }

    /// The tables of a whole ruleset, as an agent writes them for [`RULESET`].
    pub fn write(
        &mut self,
        defaults: Ruleset,
        dests: Vec<(u32, DestKey, Dest)>,
        rules: Vec<(u32, RuleKey, RuleValue)>,
    ) {
        self.rulesets.insert(RULESET, defaults);
        (self.dests, self.rules) = (dests, rules);
    }

    pub fn forget_ranges(&mut self) {
        self.dests.clear();
    }

    pub fn forget_rules(&mut self) {
        self.rules.clear();
    }

    /// The workload sends `frame`: what is done with it, and what was counted.
    pub fn send(&self, frame: &Frame) -> (Egress, Vec<Counter>) {
        self.send_as(POD, frame)
    }

    pub fn send_as(&self, workload: WorkloadIndex, frame: &Frame) -> (Egress, Vec<Counter>) {
        self.asked.take();
        (crate::from_pod(self, frame, workload, frame.ethertype()), self.counted.take())
    }

    /// The workload is sent `frame`.
    pub fn receive(&self, frame: &Frame) -> (Arrival, Vec<Counter>) {
        self.receive_as(frame, frame.ethertype())
    }

    pub fn receive_as(&self, frame: &Frame, ethertype: u16) -> (Arrival, Vec<Counter>) {
        self.asked.take();
        let arrival = match crate::to_pod(self, frame, POD, ethertype) {
            Ingress::Answer(exchange) if is_asked_for(self, frame, &exchange) => Arrival::Learn,
            Ingress::Segment(segment) if segment.speaks(frame) => Arrival::Learn,
            Ingress::Piece(workload) => match piece(frame, workload, ethertype) {
                Piece::First(exchange) if is_asked_for(self, frame, &exchange) => Arrival::Learn,
                Piece::Later => Arrival::Follow,
                Piece::First(_) | Piece::Other => Arrival::Pass,
            },
            Ingress::Answer(_) | Ingress::Segment(_) | Ingress::Pass => Arrival::Pass,
        };
        (arrival, self.counted.take())
    }

    /// The tables that the last packet asked, in order.
    pub fn asked(&self) -> Vec<&'static str> {
        self.asked.borrow().clone()
    }

    /// What was told since the last call.
    pub fn events(&self) -> Vec<Event> {
        self.events.take()
    }

    /// The same as pairs of reasons.
    pub fn reasons(&self) -> Vec<(u8, u8)> {
        self.events().iter().map(|event| (event.applied_why, event.observed_why)).collect()
    }

    /// What is remembered of the flow that the workload sends as `ends`, where it has ports.
    pub fn flow(&self, ends: Ends, protocol: u8) -> Option<Flow> {
        match keys(ends, protocol) {
            Keys::V4(key) => self.flows4.borrow().get(&(POD, key)).copied(),
            Keys::V6(key) => self.flows6.borrow().get(&(POD, key)).copied(),
        }
    }

    /// The agent writes what it found of a flow.
    pub fn put_flow(&self, ends: Ends, protocol: u8, flow: Flow) {
        let _ = match keys(ends, protocol) {
            Keys::V4(key) => self.remember_flow4(POD, &key, &flow),
            Keys::V6(key) => self.remember_flow6(POD, &key, &flow),
        };
    }

    /// How many connections from outside are established, and how many flows are not.
    pub fn callers(&self) -> [usize; 2] {
        [self.inbound4.borrow().len() + self.inbound6.borrow().len(), self.calls.borrow().len()]
    }

    /// A flood of calls: all that are not established are forgotten.
    pub fn forget_calls(&self) {
        self.calls.borrow_mut().clear();
    }

    /// How many flows are remembered of those that the workload began.
    pub fn flows(&self) -> usize {
        self.flows4.borrow().len() + self.flows6.borrow().len()
    }

    fn ask(&self, table: &'static str) {
        self.asked.borrow_mut().push(table);
    }
}

enum Keys {
    V4(Flow4Key),
    V6(Flow6Key),
}

fn keys(ends: Ends, protocol: u8) -> Keys {
    let ports = Ports::new(ends.from.port().to_be_bytes(), ends.to.port().to_be_bytes());
    let protocol = u32::from(protocol);
    match (ends.from.ip(), ends.to.ip()) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => {
            Keys::V4(Flow4Key { local: local.octets(), remote: remote.octets(), ports, protocol })
        }
        (IpAddr::V6(local), IpAddr::V6(remote)) => {
            Keys::V6(Flow6Key { local: local.octets(), remote: remote.octets(), ports, protocol })
        }
        _ => panic!("two families in one flow"),
    }
}

pub fn own(of: SocketAddr) -> OwnKey {
    OwnKey { workload: POD, address: address(of.ip()) }
}
