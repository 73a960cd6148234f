//! A destination as a person writes it: `DEST[:PORT[/PROTO]]`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::model::{Attempt, Name, NameError, Protocol};

/// The port that is meant where none is written: what most applications dial.
const HTTPS: u16 = 443;

/// A destination someone asks about. Reads `github.com:22`, `192.0.2.1:53/UDP`, `[2001:db8::1]:443`, `192.0.2.1/ICMP`;
/// without a port it means 443/TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// A name or an address.
    pub host: Host,
    /// The port; 0 exactly for a protocol without ports.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// What stands before the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A DNS name.
    Name(Name),
    /// An address.
    Address(IpAddr),
}

/// Why a text is not a destination, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestError {
    /// A URL.
    #[error("a URL is not a destination; write the host and the port, as in github.com:443")]
    Url,
    /// An IPv6 address that runs into its port.
    #[error("an IPv6 address stands in brackets: [2001:db8::1]:443")]
    Brackets,
    /// No address within brackets.
    #[error("`{0}` is not an IPv6 address")]
    NotIpv6(String),
    /// A range instead of one address.
    #[error("a range cannot be explained; give one address of it, as in {0}:443")]
    Range(IpAddr),
    /// Numbers and dots, and yet no address.
    #[error("`{0}` is not an IPv4 address")]
    NotIpv4(String),
    /// Neither a name nor an address.
    #[error("`{text}` is neither a name nor an address: {reason}")]
    NotAName {
        /// What was written.
        text: String,
        /// Why not.
        reason: NameError,
    },
    /// A port out of range.
    #[error("`{0}` is not a port; ports are 1 to 65535")]
    Port(String),
    /// A protocol that has no word.
    #[error("`{0}` is not a protocol; write TCP, UDP, SCTP or ICMP")]
    Protocol(String),
    /// UDP or SCTP without a port.
    #[error("{0} needs a port, as in {1}:53/{0}")]
    PortNeeded(Protocol, String),
    /// ICMP with a port.
    #[error("{0} has no ports; write {1}/{0}")]
    NoPorts(Protocol, String),
}

impl Dest {
    /// The attempt to judge, where no look-up told more than what was written.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        let (names, address) = match &self.host {
            Host::Name(name) => (vec![name.clone()], None),
            Host::Address(address) => (Vec::new(), Some(*address)),
        };
        Attempt { names, address, port: self.port, protocol: self.protocol }
    }
}

impl FromStr for Dest {
    type Err = DestError;

    fn from_str(text: &str) -> Result<Self, DestError> {
        if text.contains("://") {
            return Err(DestError::Url);
        }
        let (before, protocol) = split_protocol(text)?;
        let (host, port) = split_port(before)?;
        let host = parse_host(host)?;
        let port = port.map(parse_port).transpose()?;
        let port = match (port, protocol.unwrap_or(Protocol::TCP)) {
            (Some(0) | None, protocol) if !protocol.has_ports() => 0,
            (Some(_), protocol) if !protocol.has_ports() => {
                return Err(DestError::NoPorts(protocol, host.to_string()));
            }
            (Some(0), _) => return Err(DestError::Port("0".to_owned())),
            (Some(port), _) => port,
            (None, Protocol::TCP) => HTTPS,
            (None, protocol) => return Err(DestError::PortNeeded(protocol, host.to_string())),
        };
        Ok(Self { host, port, protocol: protocol.unwrap_or(Protocol::TCP) })
    }
}

fn split_protocol(text: &str) -> Result<(&str, Option<Protocol>), DestError> {
    let Some((before, word)) = text.split_once('/') else { return Ok((text, None)) };
    if let Some(protocol) = Protocol::from_word(word) {
        return Ok((before, Some(protocol)));
    }
    let bare = before.trim_start_matches('[').trim_end_matches(']');
    Err(match bare.parse() {
        Ok(address) if word.trim_end_matches(']').parse::<u8>().is_ok() => DestError::Range(address),
        _ => DestError::Protocol(word.to_owned()),
    })
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), DestError> {
    let Some(bracketed) = text.strip_prefix('[') else {
        return match text.split_once(':') {
            Some((_, port)) if port.contains(':') => Err(DestError::Brackets),
            Some((host, port)) => Ok((host, Some(port))),
            None => Ok((text, None)),
        };
    };
    let Some(end) = bracketed.find(']') else { return Err(DestError::Brackets) };
    match &bracketed[end + 1..] {
        "" => Ok((&text[..end + 2], None)),
        rest => match rest.strip_prefix(':') {
            Some(port) => Ok((&text[..end + 2], Some(port))),
            None => Err(DestError::Brackets),
        },
    }
}

fn parse_host(text: &str) -> Result<Host, DestError> {
    if let Some(address) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| DestError::NotIpv6(address.to_owned()))?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = Name::parse(text).map_err(|reason| DestError::NotAName { text: text.to_owned(), reason })?;
    let last = name.as_str().rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DestError::NotIpv4(text.to_owned()));
    }
    Ok(Host::Name(name))
}

fn parse_port(text: &str) -> Result<u16, DestError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| DestError::Port(text.to_owned()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Dest {
    /// In a form that parses to the same destination.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => write!(f, "{}/{}", self.host, self.protocol),
            port => write!(f, "{}:{port}/{}", self.host, self.protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_read_as_a_person_means_it() {
        for (text, expected) in [
            ("github.com", "github.com:443/TCP"),
            ("GitHub.com.:22", "github.com:22/TCP"),
            ("github.com:22/tcp", "github.com:22/TCP"),
            ("192.0.2.1:53/udp", "192.0.2.1:53/UDP"),
            ("192.0.2.1", "192.0.2.1:443/TCP"),
            ("[2001:db8::1]", "[2001:db8::1]:443/TCP"),
            ("[2001:DB8::1]:8443/Sctp", "[2001:db8::1]:8443/SCTP"),
            ("[2001:db8::1]/ICMP", "[2001:db8::1]/ICMP"),
            ("192.0.2.1/icmp", "192.0.2.1/ICMP"),
            ("github.com:0/ICMP", "github.com/ICMP"),
            ("localhost:8080", "localhost:8080/TCP"),
        ] {
            let dest: Dest = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(dest.to_string(), expected, "{text}");
            assert_eq!(expected.parse(), Ok(dest), "{expected} means itself");
        }
    }

    #[test]
    fn what_is_not_a_destination_is_refused_with_what_to_write() {
        for (text, reason) in [
            ("", "the name is empty"),
            (":443", "the name is empty"),
            ("https://github.com", "host and the port"),
            ("2001:db8::1", "in brackets"),
            ("2001:db8::1:443", "in brackets"),
            ("[2001:db8::1", "in brackets"),
            ("[2001:db8::1]443", "in brackets"),
            ("[github.com]:443", "not an IPv6 address"),
            ("[192.0.2.1]:443", "not an IPv6 address"),
            ("[fe80::1%eth0]:443", "not an IPv6 address"),
            ("10.0.0.0/8", "10.0.0.0:443"),
            ("[2001:db8::]/32", "one address"),
            ("256.1.1.1", "not an IPv4 address"),
            ("10.1", "not an IPv4 address"),
            ("*.github.com", "`*` cannot stand"),
            ("git hub.com", "cannot stand"),
            ("github.com:", "not a port"),
            ("github.com:0", "not a port"),
            ("github.com:65536", "not a port"),
            ("github.com:+22", "not a port"),
            ("github.com:ssh", "not a port"),
            ("github.com:22/", "not a protocol"),
            ("github.com:22/GRE", "not a protocol"),
            ("github.com/UDP", "github.com:53/UDP"),
            ("github.com:7/ICMP", "github.com/ICMP"),
        ] {
            let error = text.parse::<Dest>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_means_itself_again(
            text in r"[\[\]a-z0-9.:/%*\PC]{0,40}"
        ) {
            if let Ok(dest) = text.parse::<Dest>() {
                assert_eq!(dest.to_string().parse(), Ok(dest));
            }
        }
    }
}
