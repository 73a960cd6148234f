//! One attempt, inside the process that makes it.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::lookup::lookup;
use super::{Attempt, Outcome, Seen, Transport};

/// Looks up and connects once, here and now.
#[must_use]
pub fn run(attempt: &Attempt) -> Outcome {
    let addresses = match lookup(attempt) {
        Ok(addresses) => addresses,
        Err(error) => return unresolved(format!("{error:#}")),
    };
    let mut outcome = unresolved("the name has no address of this family".to_owned());
    for address in addresses {
        outcome = try_address(attempt, address);
        if outcome.seen == Seen::Connected {
            break;
        }
    }
    outcome
}

fn unresolved(said: String) -> Outcome {
    Outcome { seen: Seen::Unresolved, address: None, micros: 0, said }
}

fn try_address(attempt: &Attempt, address: IpAddr) -> Outcome {
    let to = SocketAddr::new(address, attempt.port);
    let limit = Duration::from_millis(attempt.timeout_ms);
    let start = Instant::now();
    let (seen, micros, said) = match attempt.transport {
        Transport::Tcp => match TcpStream::connect_timeout(&to, limit) {
            Ok(stream) => {
                let micros = micros_since(start);
                match talk(stream, limit) {
                    Ok(greeting) => (Seen::Connected, micros, greeting),
                    Err(error) => (Seen::Broken, micros, error.to_string()),
                }
            }
            Err(error) => (seen_by(&error), micros_since(start), error.to_string()),
        },
        Transport::Udp => match exchange(to, limit) {
            Ok(greeting) => (Seen::Connected, micros_since(start), greeting),
            Err(error) => (seen_by(&error), micros_since(start), error.to_string()),
        },
    };
    Outcome { seen, address: Some(address), micros, said }
}

fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// Reads the greeting, then sends a line and reads it back: data goes both ways.
fn talk(stream: TcpStream, limit: Duration) -> io::Result<String> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut reader = BufReader::new(&stream);
    let (mut greeting, mut echo) = (String::new(), String::new());
    reader.read_line(&mut greeting)?;
    (&stream).write_all(b"ping\n")?;
    reader.read_line(&mut echo)?;
    if echo != "ping\n" {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("`{echo}` came back for `ping`")));
    }
    Ok(greeting.trim_end().to_owned())
}

fn exchange(to: SocketAddr, limit: Duration) -> io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(limit))?;
    socket.send(b"ping")?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer)?;
    let answer = String::from_utf8_lossy(&buffer[..length]);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn seen_by(error: &io::Error) -> Seen {
    match error.kind() {
        ErrorKind::ConnectionRefused => Seen::Refused,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::PermissionDenied => {
            Seen::Unreachable
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Seen::TimedOut,
        _ => Seen::Broken,
    }
}
