//! Two ways to look a name up: glibc, as most applications do, and one plain query, which nothing caches.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};

use super::{Attempt, Family};

/// The addresses to try, in order.
pub(super) fn lookup(attempt: &Attempt) -> Result<Vec<IpAddr>> {
    if let Ok(address) = attempt.target.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let mut addresses = match attempt.resolver {
        None => by_glibc(&attempt.target)?,
        Some(resolver) => by_query(attempt, resolver)?,
    };
    addresses.retain(|address| match attempt.family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    });
    Ok(addresses)
}

/// Rust's standard library asks `getaddrinfo`.
fn by_glibc(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

fn by_query(attempt: &Attempt, resolver: IpAddr) -> Result<Vec<IpAddr>> {
    let types: &[RecordType] = match attempt.family {
        Family::Any => &[RecordType::AAAA, RecordType::A],
        Family::Ipv4 => &[RecordType::A],
        Family::Ipv6 => &[RecordType::AAAA],
    };
    let limit = Duration::from_millis(attempt.timeout_ms);
    let answers = types.iter().map(|wanted| ask(resolver, &attempt.target, *wanted, limit));
    Ok(answers.collect::<Result<Vec<_>>>()?.concat())
}

/// One query from a port of its own, as glibc sends it.
fn ask(resolver: IpAddr, name: &str, wanted: RecordType, limit: Duration) -> Result<Vec<IpAddr>> {
    let any: IpAddr =
        if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(resolver, 53))?;
    socket.set_read_timeout(Some(limit))?;
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(format!("{name}."))?, wanted));
    socket.send(&query.to_vec()?)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).with_context(|| format!("{resolver} did not answer"))?;
    let answer = Message::from_vec(&buffer[..length])?;
    if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
        bail!("{resolver} answered another question");
    }
    Ok(answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect())
}
