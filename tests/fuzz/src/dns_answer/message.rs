//! A plain reader of DNS messages: the records of the answer section, name by name, and the addresses they lead to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::plain::be16;

const HEADER: usize = 12;
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const INTERNET: u16 = 1;
/// Bytes of a name without the length of its first label and its closing zero.
const LONGEST: usize = 253;
/// The response code, in the second word of the header.
const CODE: u16 = 0x000f;

/// The question's name and what the answer section says, names in lower case and joined by dots.
#[derive(Debug, Default)]
pub struct Records {
    pub question: String,
    aliases: Vec<(Vec<u8>, Vec<u8>, u32)>,
    addresses: Vec<(Vec<u8>, IpAddr, u32)>,
    /// By owner and kind; a set of which one is malformed is none.
    services: BTreeMap<(Vec<u8>, u16), Services>,
}

/// The services of one owner and kind, each with its TTL; none where one was malformed.
type Services = Option<Vec<(Service, u32)>>;

/// Where a service leads, and the addresses that it hints at.
type Service = (Option<Vec<u8>>, Vec<IpAddr>);

impl Records {
    /// `None` for a message without a whole question. A record that cannot be read ends the reading, as `most` records do.
    pub fn read(message: &[u8], most: u16) -> Option<Self> {
        let (name, at) = name(message, HEADER)?;
        let mut records = Self { question: String::from_utf8(name).ok()?, ..Self::default() };
        if be16(message, 2)? & CODE == 0 {
            records.answers(message, at + 4, most);
            records.add_services();
        }
        Some(records)
    }

    fn answers(&mut self, message: &[u8], mut at: usize, most: u16) -> Option<()> {
        for _ in 0..be16(message, 6)?.min(most) {
            let (owner, fixed) = name(message, at)?;
            let (kind, class) = (be16(message, fixed)?, be16(message, fixed + 2)?);
            let ttl = u32::from(be16(message, fixed + 4)?) << 16 | u32::from(be16(message, fixed + 6)?);
            let ttl = if ttl >> 31 == 1 { 0 } else { ttl };
            let data = fixed + 10;
            at = data + usize::from(be16(message, fixed + 8)?);
            let bytes = message.get(data..at)?;
            match (kind, class) {
                (CNAME, INTERNET) => {
                    let (target, end) = name(message, data)?;
                    if end != at {
                        return None;
                    }
                    self.aliases.push((owner, target, ttl));
                }
                (A, INTERNET) => self.addresses.push((owner, <[u8; 4]>::try_from(bytes).ok()?.into(), ttl)),
                (AAAA, INTERNET) => {
                    let address = IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?);
                    self.addresses.push((owner, address.to_canonical(), ttl));
                }
                (SVCB | HTTPS, INTERNET) => {
                    let set = self.services.entry((owner, kind)).or_insert(Some(Vec::new()));
                    match (set.as_mut(), service(bytes)) {
                        (Some(set), Some(service)) => set.push((service, ttl)),
                        _ => *set = None,
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    fn add_services(&mut self) {
        for ((owner, _), set) in std::mem::take(&mut self.services) {
            for ((target, hints), ttl) in set.unwrap_or_default() {
                self.aliases.extend(target.map(|target| (owner.clone(), target, ttl)));
                self.addresses.extend(hints.into_iter().map(|hint| (owner.clone(), hint, ttl)));
            }
        }
    }
}

/// The addresses that the aliases of `question` lead to, each with the longest time on any way to it.
pub fn walk(records: &Records, question: &str) -> BTreeMap<IpAddr, u32> {
    let mut reached = BTreeMap::from([(question.as_bytes().to_vec(), u32::MAX)]);
    // Each round a name gets its longest time by one alias more; no way is longer than there are aliases.
    for _ in 0..=records.aliases.len() {
        for (owner, target, ttl) in &records.aliases {
            if let Some(time) = reached.get(owner).map(|time| *time.min(ttl)) {
                let longest = reached.entry(target.clone()).or_default();
                *longest = time.max(*longest);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (owner, address, ttl) in &records.addresses {
        if let Some(time) = reached.get(owner).map(|time| *time.min(ttl)) {
            let longest = found.entry(*address).or_insert(0);
            *longest = time.max(*longest);
        }
    }
    found
}

/// The name at `at`, and where what follows it starts. A label with a dot in it is spelt so that it is no two.
fn name(message: &[u8], at: usize) -> Option<(Vec<u8>, usize)> {
    let (mut name, mut at, mut end) = (Vec::new(), at, None);
    let mut earlier = at;
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => return Some((name, end.unwrap_or(at + 1))),
            1..64 => {
                if !name.is_empty() {
                    name.push(b'.');
                }
                for byte in message.get(at + 1..at + 1 + length)? {
                    name.push(if *byte == b'.' { 0xff } else { byte.to_ascii_lowercase() });
                }
                at += 1 + length;
                if name.len() > LONGEST {
                    return None;
                }
            }
            192.. => {
                end.get_or_insert(at + 2);
                at = usize::from(be16(message, at)? & 0x3fff);
                // What only leads back ends.
                if at >= std::mem::replace(&mut earlier, at) {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// The data of an SVCB or HTTPS record: RFC 9460, section 2.2. Its name is not compressed.
fn service(data: &[u8]) -> Option<Service> {
    let mut at = 2;
    while *data.get(at)? != 0 {
        at += 1 + usize::from(Some(data[at]).filter(|length| *length < 64)?);
    }
    let (target, mut at) = name(data.get(..=at)?, 2)?;
    let target = (!target.is_empty()).then_some(target);
    let (mut hints, mut least) = (Vec::new(), 0);
    if be16(data, 0)? == 0 {
        return Some((target, hints));
    }
    while at < data.len() {
        let (key, length) = (be16(data, at)?, usize::from(be16(data, at + 2)?));
        let value = data.get(at + 4..at + 4 + length)?;
        if u32::from(key) < least {
            return None;
        }
        (least, at) = (u32::from(key) + 1, at + 4 + length);
        let size = match key {
            4 => 4,
            6 => 16,
            _ => continue,
        };
        if value.is_empty() || value.len() % size != 0 {
            return None;
        }
        hints.extend(value.chunks(size).map(|chunk| match <[u8; 4]>::try_from(chunk) {
            Ok(octets) => IpAddr::from(octets),
            Err(_) => IpAddr::from(<[u8; 16]>::try_from(chunk).expect("16 bytes")).to_canonical(),
        }));
    }
    Some((target, hints))
}
