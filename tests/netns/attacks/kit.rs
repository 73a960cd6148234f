//! Whom and what the attacks have in common.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::netns::Netns;
use egret_tests::wire::Frame;
use egret_tests::{Agent, Pod, Seen, World};
use hickory_proto::op::{Message, Metadata, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Whom all names that the policies of these tests allow belong to.
pub const RULES: &str = "allow:\n- to: [{fqdn: '*.example.com'}]";
pub const REAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
pub const EVIL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// A resolver that answers when a test lets it.
pub const SLOW: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 55)), 53);

pub fn counter(agent: &Agent, name: &str) -> Result<u64> {
    agent.status()?["counters"][name].as_u64().with_context(|| format!("no counter {name}"))
}

pub fn tc(netns: &Netns, words: &str) -> Result<()> {
    let output = netns.command("tc").args(words.split(' ')).output().context("cannot run tc")?;
    anyhow::ensure!(output.status.success(), "tc {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

pub fn udp(world: &World, at: SocketAddr) -> Result<UdpSocket> {
    let socket = world.internet().run(|| UdpSocket::bind(at))??;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

/// A question that a pod has asked, and that has no answer yet.
pub struct Asked {
    pub socket: UdpSocket,
    pub query: Message,
    /// Who asks, as the resolver sees it.
    pub from: SocketAddr,
}

impl Asked {
    /// From inside `pod`, for an address of `a.example.com`; `resolver` is SLOW.
    pub fn new(pod: &Pod, resolver: &UdpSocket) -> Result<Self> {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("a.example.com.")?, RecordType::A));
        let socket = pod.netns().run(|| UdpSocket::bind("0.0.0.0:0"))??;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.send_to(&query.to_vec()?, SLOW)?;
        let (_, from) = resolver.recv_from(&mut [0; 512])?;
        Ok(Self { socket, query, from })
    }

    /// The answer that says `address`.
    pub fn answer(&self, address: Ipv4Addr) -> Result<Vec<u8>> {
        let mut answer = Message::response(self.query.metadata.id, self.query.metadata.op_code);
        answer.metadata = Metadata::response_from_request(&self.query.metadata);
        answer.add_query(self.query.queries[0].clone());
        answer.add_answers([Record::from_rdata(
            self.query.queries[0].name().clone(),
            60,
            RData::A(address.into()),
        )]);
        Ok(answer.to_vec()?)
    }

    /// What the application gets next.
    pub fn got(&self) -> Result<Vec<u8>> {
        let mut bytes = [0; 512];
        let (length, _) = self.socket.recv_from(&mut bytes).context("no answer")?;
        Ok(bytes[..length].to_vec())
    }

    /// Nobody's answer has counted so far, and the resolver's own, which it sends now, does.
    pub fn taught_nothing(&self, pod: &Pod, resolver: &UdpSocket, what: &str) -> Result<()> {
        assert_eq!(pod.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused, "{what}");
        resolver.send_to(&self.answer(REAL)?, self.from)?;
        assert_eq!(self.got()?, self.answer(REAL)?, "{what}: the resolver's own answer comes");
        assert_eq!(pod.connect(&REAL.to_string(), 443)?.seen, Seen::Connected, "{what}");
        Ok(())
    }
}

/// With the source of a ticket.
pub fn ticketed(mut frame: Frame) -> Frame {
    frame.bytes[6..12].copy_from_slice(&[2, 2, 0, 0, 0, 1]);
    frame
}
