//! A DNS server over UDP and TCP: messages in, messages out; what is true is the [`Zone`]'s business.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use hickory_proto::op::{Edns, Message, Metadata, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::zone::{Data, Line, Wanted, Zone};
use super::{bind_udp, listen};
use crate::netns::Netns;

/// Answers DNS queries to UDP and TCP `address` in `netns` from `zone`.
///
/// # Errors
/// The address is taken or is not of that namespace.
pub fn serve_dns(runtime: &Runtime, netns: &Netns, address: SocketAddr, zone: Zone) -> Result<()> {
    let socket = bind_udp(runtime, netns, address)?;
    let over_tcp = zone.clone();
    serve_dns_tcp(runtime, netns, address, move |query| answer(&over_tcp, query))?;
    runtime.spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            // An error here is an ICMP message about an earlier answer: the next query may well come.
            if let Ok((length, from)) = socket.recv_from(&mut buffer).await
                && let Some(answer) = answer(&zone, &buffer[..length])
            {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    Ok(())
}

/// Answers DNS queries to TCP `address` in `netns` with what `answer` makes of them: several on one connection, one after
/// another.
///
/// # Errors
/// As [`serve_dns`].
pub fn serve_dns_tcp(
    runtime: &Runtime,
    netns: &Netns,
    address: SocketAddr,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Clone + Send + Sync + 'static,
) -> Result<()> {
    let listener = netns.run(|| listen(address))??;
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, answer.clone()));
        }
    });
    Ok(())
}

async fn converse(
    mut stream: tokio::net::TcpStream,
    answer: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> std::io::Result<()> {
    loop {
        let mut query = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut query).await?;
        if let Some(answer) = answer(&query) {
            let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &answer].concat()).await?;
        }
    }
}

/// The answer to the query in `bytes`; what is no query gets none.
fn answer(zone: &Zone, bytes: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    let [question] = query.queries.as_slice() else { return None };
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata = Metadata::response_from_request(&query.metadata);
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        answer.set_edns(edns);
    }
    match zone.answer(&question.name().to_ascii(), wanted(question)) {
        Some(lines) => {
            answer.add_answers(lines.iter().filter_map(|line| record(line, question.name())));
        }
        None => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer.to_vec().ok()
}

fn wanted(question: &Query) -> Wanted {
    match question.query_type() {
        RecordType::A => Wanted::Ipv4,
        RecordType::AAAA => Wanted::Ipv6,
        _ => Wanted::Nothing,
    }
}

/// The owner is written as it was asked for, letter by letter: resolvers that randomise case check it.
fn record(line: &Line, asked: &Name) -> Option<Record> {
    let owner = Name::from_ascii(format!("{}.", line.owner)).ok()?;
    let owner = if owner == *asked { asked.clone() } else { owner };
    let data = match &line.data {
        Data::Address(IpAddr::V4(address)) => RData::A((*address).into()),
        Data::Address(IpAddr::V6(address)) => RData::AAAA((*address).into()),
        Data::Alias(target) => RData::CNAME(CNAME(Name::from_ascii(format!("{target}.")).ok()?)),
    };
    Some(Record::from_rdata(owner, line.ttl, data))
}
