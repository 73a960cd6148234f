//! What an SVCB or HTTPS record says (RFC 9460): the name that it leads to, and addresses of it as hints.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name as WireName;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// A record, as far as it teaches something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// Where it leads; `None`: nowhere but to its owner.
    pub(super) target: Option<WireName>,
    /// Addresses of the target.
    pub(super) hints: Vec<IpAddr>,
}

impl Service {
    /// Reads the data of a record; `None` where it is malformed, and then no client uses any of its set (section 2.2).
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (priority, rest) = data.split_first_chunk::<2>()?;
        let length = name_length(rest)?;
        let target = WireName::read(&mut BinDecoder::new(&rest[..length])).ok()?;
        let target = (!target.is_root()).then_some(target);
        // Priority 0 makes it an alias, whose parameters, if it has any, do not count (section 2.4.2).
        let is_alias = *priority == [0, 0];
        let hints = if is_alias { Vec::new() } else { hints(&rest[length..])? };
        Some(Self { target, hints })
    }
}

/// Bytes of the name at the start of `bytes`, which is never compressed here.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        at += 1 + label;
        match label {
            0 => return Some(at),
            1..=63 if at < 255 => {}
            _ => return None,
        }
    }
}

fn hints(mut params: &[u8]) -> Option<Vec<IpAddr>> {
    let (mut hints, mut last) = (Vec::new(), None);
    while !params.is_empty() {
        let ([k0, k1, l0, l1], rest) = params.split_first_chunk::<4>()?;
        let (key, length) = (u16::from_be_bytes([*k0, *k1]), usize::from(u16::from_be_bytes([*l0, *l1])));
        let (value, rest) = rest.split_at_checked(length)?;
        // Strictly ascending, so that each stands once.
        if last.is_some_and(|last| last >= key) {
            return None;
        }
        match key {
            IPV4_HINT => {
                hints.extend(addresses::<4>(value)?.iter().map(|ip| IpAddr::from(Ipv4Addr::from(*ip))))
            }
            IPV6_HINT => {
                let addresses = addresses::<16>(value)?;
                hints.extend(addresses.iter().map(|ip| IpAddr::from(Ipv6Addr::from(*ip)).to_canonical()));
            }
            _ => {}
        }
        (last, params) = (Some(key), rest);
    }
    Some(hints)
}

fn addresses<const N: usize>(value: &[u8]) -> Option<&[[u8; N]]> {
    let (addresses, rest) = value.as_chunks::<N>();
    (!addresses.is_empty() && rest.is_empty()).then_some(addresses)
}
