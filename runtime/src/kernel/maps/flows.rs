//! The flow maps of one workload: read, seeded and swept from user space.

use std::net::IpAddr;

use aya::maps::{HashMap, Map, MapData};
use egret_abi::{Call, Flow, Flow4Key, Flow6Key, Inbound, Ports, Tick, WorkloadIndex};

use super::outer::Outer;
use super::{FlowTuple, Reader, Writer, address};
use crate::kernel::plain::Plain;
use crate::kernel::tuple::{tuple4, tuple6};

/// The protocol whose inbound flows are established, and have a place of their own.
const TCP: u8 = 6;

/// Flows that were there before their workload was covered.
#[derive(Clone, Copy, Debug)]
pub struct Seeds<'a> {
    /// What it began.
    pub outbound: &'a [FlowTuple],
    /// What others began.
    pub inbound: &'a [FlowTuple],
    /// What is written of a flow that it began.
    pub flow: Flow,
    /// When a flow of a protocol without connections ends.
    pub until: Tick,
}

impl Writer {
    /// Forgets the flows of an address that is no longer the workload's own.
    pub fn forget_flows_from(&mut self, workload: WorkloadIndex, address: IpAddr) {
        let wide = self::address(address).0;
        match address {
            IpAddr::V4(address) => {
                let of_it = |key: &Flow4Key| key.local == address.octets();
                forget::<Flow4Key, Flow>(&self.flows4, workload, of_it);
                forget::<Flow4Key, Inbound>(&self.inbound4, workload, of_it);
            }
            IpAddr::V6(_) => {
                forget::<Flow6Key, Flow>(&self.flows6, workload, |key| key.local == wide);
                forget::<Flow6Key, Inbound>(&self.inbound6, workload, |key| key.local == wide);
            }
        }
        forget::<Flow6Key, Call>(&self.calls, workload, |key| key.local == wide);
    }

    /// Writes flows that were there before. What does not fit is lost to what is more recent, as for packets.
    pub fn seed(&mut self, workload: WorkloadIndex, seeds: &Seeds) {
        let until = |flow: &FlowTuple| if flow.protocol == TCP { Tick::NEVER } else { seeds.until };
        let (mut flows4, mut flows6) = (inner(&self.flows4, workload), inner(&self.flows6, workload));
        for tuple in seeds.outbound {
            let flow = Flow { until: until(tuple), ..seeds.flow };
            match key4(tuple) {
                Some(key) => put(&mut flows4, key, flow),
                None => put(&mut flows6, key6(tuple), flow),
            }
        }
        let (mut inbound4, mut inbound6) = (inner(&self.inbound4, workload), inner(&self.inbound6, workload));
        let mut calls = inner(&self.calls, workload);
        for tuple in seeds.inbound {
            match key4(tuple) {
                _ if tuple.protocol != TCP => {
                    put(&mut calls, key6(tuple), Call { until: until(tuple), ..Call::default() });
                }
                Some(key) => put(&mut inbound4, key, Inbound(0)),
                None => put(&mut inbound6, key6(tuple), Inbound(0)),
            }
        }
    }

    /// Forgets flows as if the workload had not begun them.
    pub fn forget_flows(&mut self, workload: WorkloadIndex, flows: &[FlowTuple]) {
        let (mut flows4, mut flows6) = (
            inner::<Flow4Key, Flow>(&self.flows4, workload),
            inner::<Flow6Key, Flow>(&self.flows6, workload),
        );
        for tuple in flows {
            // One that is not there is as good.
            let _ = match key4(tuple) {
                Some(key) => flows4.as_mut().map(|map| map.remove(&Plain(key))),
                None => flows6.as_mut().map(|map| map.remove(&Plain(key6(tuple)))),
            };
        }
    }
}

fn put<K: Bytes, V: Bytes>(map: &mut Option<HashMap<MapData, Plain<K>, Plain<V>>>, key: K, value: V) {
    if let Some(map) = map {
        // An LRU map is never full.
        let _ = map.insert(Plain(key), Plain(value), 0);
    }
}

impl Reader {
    /// A workload's flows.
    #[must_use]
    pub fn flows(&self, workload: WorkloadIndex) -> Vec<(FlowTuple, Flow)> {
        let mut flows = Vec::new();
        if let Some(map) = inner::<Flow4Key, Flow>(&self.flows4, workload) {
            flows.extend(map.iter().filter_map(Result::ok).map(|(key, flow)| (tuple4(&key.0), flow.0)));
        }
        if let Some(map) = inner::<Flow6Key, Flow>(&self.flows6, workload) {
            flows.extend(map.iter().filter_map(Result::ok).map(|(key, flow)| (tuple6(&key.0), flow.0)));
        }
        flows
    }
}

fn forget<K: Bytes, V: Bytes>(outer: &Outer, workload: WorkloadIndex, is_gone: impl Fn(&K) -> bool) {
    let Some(mut flows) = inner::<K, V>(outer, workload) else { return };
    let gone: Vec<_> = flows.keys().filter_map(Result::ok).filter(|key| is_gone(&key.0)).collect();
    for key in gone {
        let _ = flows.remove(&key);
    }
}

/// What a key or a value of a map is.
trait Bytes: Copy + zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + 'static {}
impl<T: Copy + zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable + 'static> Bytes for T {}

fn inner<K: Bytes, V: Bytes>(
    outer: &Outer,
    workload: WorkloadIndex,
) -> Option<HashMap<MapData, Plain<K>, Plain<V>>> {
    Map::LruHashMap(outer.get(workload)?).try_into().ok()
}

/// `None`: it is of IPv6.
fn key4(tuple: &FlowTuple) -> Option<Flow4Key> {
    let (local, remote) = (tuple.local.as_v4()?, tuple.remote.as_v4()?);
    Some(Flow4Key { local, remote, ports: ports(tuple), protocol: tuple.protocol.into() })
}

fn key6(tuple: &FlowTuple) -> Flow6Key {
    Flow6Key {
        local: tuple.local.0,
        remote: tuple.remote.0,
        ports: ports(tuple),
        protocol: tuple.protocol.into(),
    }
}

fn ports(tuple: &FlowTuple) -> Ports {
    Ports::new(tuple.local_port.to_be_bytes(), tuple.remote_port.to_be_bytes())
}
