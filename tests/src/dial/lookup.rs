//! Two ways to look a name up: glibc, as most applications do, and one plain query, which nothing caches.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
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
    let ask = if attempt.over_tcp { ask_over_tcp } else { ask_over_udp };
    let answers = types.iter().map(|wanted| {
        let mut query = Message::query();
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(Name::from_ascii(format!("{}.", attempt.target))?, *wanted));
        let bytes =
            ask(resolver, &query.to_vec()?, limit).with_context(|| format!("{resolver} did not answer"))?;
        let answer = Message::from_vec(&bytes)?;
        if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
            bail!("{resolver} answered another question");
        }
        Ok(answer.answers.iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
    });
    Ok(answers.collect::<Result<Vec<_>>>()?.concat())
}

/// One query from a port of its own, as glibc sends it.
fn ask_over_udp(resolver: IpAddr, query: &[u8], limit: Duration) -> io::Result<Vec<u8>> {
    let any: IpAddr =
        if resolver.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(resolver, 53))?;
    socket.set_read_timeout(Some(limit))?;
    socket.send(query)?;
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// One query on a connection of its own.
fn ask_over_tcp(resolver: IpAddr, query: &[u8], limit: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(resolver, 53), limit)?;
    stream.set_read_timeout(Some(limit))?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
