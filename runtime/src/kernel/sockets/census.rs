//! From sockets to flows with a direction. Pure.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use super::wire::Socket;
use crate::kernel::maps::{FlowTuple, ip};

/// The flows of a workload's sockets: what was there before it was covered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// What it began.
    pub outbound: Vec<FlowTuple>,
    /// What others began.
    pub inbound: Vec<FlowTuple>,
    /// Sockets that found no room; those that were told first did.
    pub left_out: u64,
    /// Whether there was no time to look at all of them.
    pub unfinished: bool,
}

impl Census {
    /// Whether there is nothing that a policy could cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.outbound.is_empty() && self.inbound.is_empty()
    }
}

/// Takes sockets in, in the order of their worth; listening ones come before all others.
pub(super) struct Count {
    own: BTreeSet<IpAddr>,
    most: usize,
    listening: HashSet<(u8, u16)>,
    census: Census,
}

impl Count {
    /// Of a workload with these addresses; `most` flows of each direction and family.
    pub fn new(own: BTreeSet<IpAddr>, most: usize) -> Self {
        Self { own, most, listening: HashSet::new(), census: Census::default() }
    }

    /// A socket that others may begin flows to: its protocol and port.
    pub fn listens(&mut self, protocol: u8, socket: &Socket) {
        self.listening.insert((protocol, socket.local_port()));
    }

    /// A socket with two ends. What is at a port that is listened on, others began: so a server's replies are not
    /// broken. A workload that was there before could have arranged for that, of connections it had before.
    pub fn connects(&mut self, protocol: u8, socket: &Socket) {
        let flow = socket.flow(protocol);
        if flow.remote_port == 0 || !self.own.contains(&ip(flow.local)) {
            return;
        }
        let inward = self.listening.contains(&(protocol, flow.local_port));
        let flows = if inward { &mut self.census.inbound } else { &mut self.census.outbound };
        let of_family = |known: &&FlowTuple| known.local.as_v4().is_some() == flow.local.as_v4().is_some();
        if flows.len() >= self.most && flows.iter().filter(of_family).count() >= self.most {
            self.census.left_out += 1;
        } else {
            flows.push(flow);
        }
    }

    /// There was no time for more.
    pub fn break_off(&mut self) {
        self.census.unfinished = true;
    }

    pub fn finish(self) -> Census {
        self.census
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Message, TCP, UDP, messages, tests::told};
    use super::*;

    fn socket(family: u8, local: &str, remote: &str) -> Socket {
        match messages(&told(family, 1, local, remote)).next() {
            Some(Message::Socket(socket)) => socket,
            other => panic!("{other:?}"),
        }
    }

    fn count(most: usize) -> Count {
        Count::new(["10.0.0.7", "fd00::7"].map(|ip| ip.parse().expect("an address")).into(), most)
    }

    #[test]
    fn who_listens_is_called_and_who_does_not_calls() {
        let mut count = count(10);
        count.listens(TCP, &socket(10, "[::]:8080", "[::]:0"));
        count.listens(UDP, &socket(2, "0.0.0.0:9000", "0.0.0.0:0"));
        for (protocol, family, local, remote) in [
            (TCP, 2, "10.0.0.7:8080", "192.0.2.1:50000"),
            (TCP, 10, "10.0.0.7:8080", "192.0.2.2:50000"),
            (TCP, 10, "[fd00::7]:8080", "[2001:db8::1]:50000"),
            (UDP, 2, "10.0.0.7:9000", "192.0.2.1:50000"),
            (UDP, 2, "10.0.0.7:8080", "192.0.2.1:53"),
            (TCP, 2, "10.0.0.7:9000", "192.0.2.1:443"),
            (TCP, 10, "[fd00::7]:40000", "[2001:db8::1]:443"),
        ] {
            count.connects(protocol, &socket(family, local, remote));
        }
        let census = count.finish();
        let ports = |flows: &[FlowTuple]| {
            flows.iter().map(|flow| (flow.protocol, flow.local_port)).collect::<Vec<_>>()
        };
        assert_eq!(ports(&census.inbound), [(TCP, 8080), (TCP, 8080), (TCP, 8080), (UDP, 9000)]);
        assert_eq!(ports(&census.outbound), [(UDP, 8080), (TCP, 9000), (TCP, 40000)]);
        assert!(census.inbound[..2].iter().all(|flow| flow.local.as_v4().is_some()), "a mapped one is IPv4");
    }

    #[test]
    fn what_has_no_other_end_or_is_not_its_own_is_none() {
        let mut count = count(10);
        for (local, remote) in [
            ("127.0.0.1:40000", "127.0.0.1:80"),
            ("10.0.0.8:40000", "192.0.2.1:443"),
            ("10.0.0.7:40000", "192.0.2.1:0"),
        ] {
            count.connects(TCP, &socket(2, local, remote));
        }
        assert_eq!(count.finish(), Census::default());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_each_family_has_its_own() {
        let mut count = count(2);
        for port in 1..=5 {
            count.connects(TCP, &socket(2, "10.0.0.7:40000", &format!("192.0.2.1:{port}")));
        }
        count.connects(TCP, &socket(10, "[fd00::7]:40000", "[2001:db8::1]:443"));
        let census = count.finish();
        let ports: Vec<_> = census.outbound.iter().map(|flow| flow.remote_port).collect();
        assert_eq!((ports, census.left_out), (vec![1, 2, 443], 3));
    }
}
