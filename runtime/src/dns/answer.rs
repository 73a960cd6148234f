//! What a DNS message teaches: the addresses of its question's name.
//!
//! Only the question and the records that lead from it to addresses are decoded; other records are passed over by
//! their length, so that an odd record of a kind nobody asked for cannot hide an address, nor its decoder be reached.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Header, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name as WireName, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

use super::service::Service;
use crate::model::Name;

/// Addresses kept of one answer.
pub const MAX_ADDRESSES: usize = 512;
/// Records looked at in one answer; a 4,096-byte message holds at most about 250.
const MAX_RECORDS: usize = 1024;

/// A response as far as it teaches something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The message's id.
    pub id: u16,
    /// The name that was asked for.
    pub question: Name,
    /// The addresses that the question's name leads to, each once, in their order, with the seconds it may be kept:
    /// the lowest TTL from the question to the address. At most [`MAX_ADDRESSES`]; empty for a negative answer.
    pub addresses: Vec<(IpAddr, u32)>,
    /// The low four bits of the response code: 0 no error, 2 server failure, 3 no such name.
    pub rcode: u8,
    /// The sender says that the answer is longer than this message.
    pub truncated: bool,
    /// The name that the resolver found by searching a domain of its own, where an alias says so.
    pub searched: Option<Searched>,
}

/// What an alias from `NAME.DOMAIN` to `NAME` says: that a resolver took the domain off the name that was asked for.
/// Whoever owns the domain can write such an alias, so it counts only for domains that an operator names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// What was found.
    pub name: Name,
    /// What was taken off.
    pub domain: Name,
    /// The addresses that the name itself leads to, as in [`Answer::addresses`].
    pub addresses: Vec<(IpAddr, u32)>,
}

/// Why a message teaches nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unlearned {
    /// It cannot be decoded.
    #[error("malformed")]
    Malformed,
    /// It is a query, or not of the kind that asks for names.
    #[error("not-a-response")]
    NotAResponse,
    /// It has no question, or several.
    #[error("not-one-question")]
    NotOneQuestion,
    /// It is not about the internet.
    #[error("other-class")]
    OtherClass,
    /// Its question is not a host name: the root, or with characters that no rule can name.
    #[error("not-a-host-name")]
    NotAHostName,
}

/// Reads a DNS message.
///
/// # Errors
/// [`Unlearned`], whose text is a word for a counter. No input makes it panic, and its work is bounded.
pub fn parse(payload: &[u8]) -> Result<Answer, Unlearned> {
    let mut decoder = BinDecoder::new(payload);
    let header = Header::read(&mut decoder).map_err(|_| Unlearned::Malformed)?;
    let meta = header.metadata;
    if meta.message_type != MessageType::Response || meta.op_code != OpCode::Query {
        return Err(Unlearned::NotAResponse);
    }
    if header.counts.queries != 1 {
        return Err(Unlearned::NotOneQuestion);
    }
    let query = Query::read(&mut decoder).map_err(|_| Unlearned::Malformed)?;
    if query.query_class() != DNSClass::IN {
        return Err(Unlearned::OtherClass);
    }
    let question = host_name(query.name()).ok_or(Unlearned::NotAHostName)?;
    let mut records = Records::default();
    if meta.response_code == ResponseCode::NoError {
        let complete = records.read_all(&mut decoder, header.counts.answers);
        // A message cut in the middle of a record says so itself; then what came before stands.
        if complete.is_err() && !meta.truncation {
            return Err(Unlearned::Malformed);
        }
        records.put_services_among_the_others();
    }
    Ok(Answer {
        id: meta.id,
        question,
        addresses: records.reachable_from(query.name()),
        searched: records.searched(query.name()),
        rcode: meta.response_code.low(),
        truncated: meta.truncation,
    })
}

/// The records of an answer by their owner, whose case does not count.
#[derive(Default)]
struct Records {
    aliases: HashMap<WireName, Vec<(WireName, u32)>>,
    addresses: HashMap<WireName, Vec<(IpAddr, u32)>>,
    services: HashMap<(WireName, RecordType), Services>,
}

/// SVCB or HTTPS records of one owner; a set with a malformed one is none.
type Services = Option<Vec<(Service, u32)>>;

impl Records {
    fn read_all(&mut self, decoder: &mut BinDecoder<'_>, count: u16) -> Result<(), DecodeError> {
        (0..usize::from(count).min(MAX_RECORDS)).try_for_each(|_| self.read_one(decoder))
    }

    fn read_one(&mut self, decoder: &mut BinDecoder<'_>) -> Result<(), DecodeError> {
        let owner = WireName::read(decoder)?;
        let kind = RecordType::read(decoder)?;
        let class = decoder.read_u16()?.unverified();
        let ttl = seconds(decoder.read_u32()?.unverified());
        let length = usize::from(decoder.read_u16()?.unverified());
        let end = decoder.index() + length;
        match kind {
            RecordType::CNAME if class == u16::from(DNSClass::IN) => {
                let target = WireName::read(decoder)?;
                if decoder.index() != end {
                    return Err(DecodeError::InsufficientBytes);
                }
                self.aliases.entry(owner).or_default().push((target, ttl));
            }
            RecordType::A | RecordType::AAAA if class == u16::from(DNSClass::IN) => {
                let data = decoder.read_slice(length)?.unverified();
                let address = address(kind, data).ok_or(DecodeError::InsufficientBytes)?;
                self.addresses.entry(owner).or_default().push((address, ttl));
            }
            RecordType::SVCB | RecordType::HTTPS if class == u16::from(DNSClass::IN) => {
                let service = Service::read(decoder.read_slice(length)?.unverified());
                let set = self.services.entry((owner, kind)).or_insert_with(|| Some(Vec::new()));
                *set = set.take().zip(service).map(|(set, service)| with(set, (service, ttl)));
            }
            _ => {
                decoder.read_slice(length)?;
            }
        }
        if decoder.index() == end { Ok(()) } else { Err(DecodeError::InsufficientBytes) }
    }

    /// What the services say, in the words of the other records: hints are addresses of the owner, and a target is
    /// followed as an alias is.
    fn put_services_among_the_others(&mut self) {
        for ((owner, _), set) in std::mem::take(&mut self.services) {
            for (service, ttl) in set.into_iter().flatten() {
                let hints = service.hints.into_iter().map(|hint| (hint, ttl));
                self.addresses.entry(owner.clone()).or_default().extend(hints);
                let target = service.target.map(|target| (target, ttl));
                self.aliases.entry(owner.clone()).or_default().extend(target);
            }
        }
    }

    /// The longest name that an alias of `question` gives it and that it begins with.
    fn searched(&self, question: &WireName) -> Option<Searched> {
        // Most answers have none.
        let aliases = self.aliases.get(question)?;
        let labels: Vec<_> = question.iter().map(<[u8]>::to_ascii_lowercase).collect();
        let begins = |target: &WireName| {
            let given = target.iter().map(<[u8]>::to_ascii_lowercase);
            target.iter().count() < labels.len() && given.zip(&labels).all(|(given, own)| given == *own)
        };
        let targets = aliases.iter().filter(|(target, _)| begins(target));
        let (target, ttl) = targets.max_by_key(|(target, _)| target.iter().count())?;
        let name = host_name(target)?;
        let domain = WireName::from_labels(question.iter().skip(target.iter().count())).ok()?;
        let addresses = self.reachable_from(target).into_iter();
        let addresses = addresses.map(|(address, of_name)| (address, of_name.min(*ttl))).collect();
        Some(Searched { name, domain: host_name(&domain)?, addresses })
    }

    /// Follows the aliases from `question`, each name once, and gathers the addresses on the way.
    fn reachable_from(&self, question: &WireName) -> Vec<(IpAddr, u32)> {
        let mut found = BTreeMap::new();
        let mut seen = HashSet::from([question]);
        let mut open = vec![(question, u32::MAX)];
        while let Some((name, ttl_so_far)) = open.pop() {
            for (address, ttl) in self.addresses.get(name).into_iter().flatten() {
                if found.len() < MAX_ADDRESSES || found.contains_key(address) {
                    let kept = found.entry(*address).or_default();
                    *kept = (*ttl).min(ttl_so_far).max(*kept);
                }
            }
            for (target, ttl) in self.aliases.get(name).into_iter().flatten() {
                if seen.insert(target) {
                    open.push((target, (*ttl).min(ttl_so_far)));
                }
            }
        }
        found.into_iter().collect()
    }
}

fn with<T>(mut set: Vec<T>, one: T) -> Vec<T> {
    set.push(one);
    set
}

/// A TTL with its highest bit set counts as zero (RFC 2181, section 8).
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX as u32 { 0 } else { ttl }
}

/// An IPv4 address in IPv6 clothes is bound as the IPv4 address that the workload's packets will go to.
fn address(kind: RecordType, data: &[u8]) -> Option<IpAddr> {
    let address = match kind {
        RecordType::A => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
    };
    Some(address.to_canonical())
}

/// `None` for what our names cannot hold. Checked label by label: a dot inside a label must not make two of one.
fn host_name(name: &WireName) -> Option<Name> {
    let labels: Option<Vec<&str>> =
        name.iter().map(|label| std::str::from_utf8(label).ok().filter(|text| !text.contains('.'))).collect();
    Name::parse(&labels?.join(".")).ok()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "service_tests.rs"]
mod service_tests;
