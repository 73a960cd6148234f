//! Packets on hold go on whole, in their order, and none is lost.
#![allow(unsafe_code, reason = "options of sockets that have no safe wrapper")]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;

/// About two milliseconds of work.
const SLOW: &str = "allow: [5000], work: 2000000, seconds: 60";
const EACH: u32 = 50;

/// 100 by default; `EGRET_FLOWS=1000` is the long form.
fn flows() -> u32 {
    std::env::var("EGRET_FLOWS").ok().and_then(|flows| flows.parse().ok()).unwrap_or(100)
}

#[test]
fn bursts_of_datagrams_through_a_slow_decision_arrive_in_order_and_whole() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let agent = start(&world, "", &unmatched(SLOW))?;
    for to in ["192.0.2.10:5000", "[2001:db8::10]:5000"] {
        let to: SocketAddr = to.parse()?;
        let server = world.internet().run(|| UdpSocket::bind(to))??;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&server, 64 << 20)?;
        server.set_read_timeout(Some(Duration::from_secs(3)))?;
        world.pod(POD).netns().run(|| -> Result<()> {
            stay_on_one_processor()?;
            let any: std::net::IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let sockets: Vec<_> =
                (0..flows()).map(|_| UdpSocket::bind((any, 0))).collect::<Result<_, _>>()?;
            for (flow, socket) in (0u32..).zip(&sockets) {
                for number in 0..EACH {
                    let bytes = [flow.to_be_bytes(), number.to_be_bytes()].concat();
                    socket.send_to(&bytes, to)?;
                }
            }
            Ok(())
        })??;
        let mut next: HashMap<u32, u32> = HashMap::new();
        let mut buffer = [0; 64];
        for _ in 0..flows() * EACH {
            let (length, _) = server.recv_from(&mut buffer).context("a datagram is lost")?;
            let (flow, number) = buffer[..length].split_at(4);
            let (flow, number) =
                (u32::from_be_bytes(flow.try_into()?), u32::from_be_bytes(number.try_into()?));
            let expected = next.entry(flow).or_default();
            assert_eq!(number, *expected, "flow {flow}");
            *expected += 1;
        }
        server.set_read_timeout(Some(Duration::from_millis(100)))?;
        assert!(server.recv_from(&mut buffer).is_err(), "a datagram came twice");
    }
    assert!(counter(&agent, "packets_held")? > 0);
    Ok(())
}

/// Linux keeps the order of packets of one processor: what a sender sends from another one may arrive before, with
/// nothing in between.
fn stay_on_one_processor() -> Result<()> {
    let mut processors = rustix::thread::sched_getaffinity(None)?;
    let all = 0..rustix::thread::CpuSet::MAX_CPU;
    for other in all.filter(|processor| processors.is_set(*processor)).skip(1).collect::<Vec<_>>() {
        processors.unset(other);
    }
    Ok(rustix::thread::sched_setaffinity(None, &processors)?)
}

#[test]
fn a_datagram_of_8_kb_and_a_batch_of_segments_go_through_the_hold_whole() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let _agent = start(&world, "", &unmatched("allow: [5001, 5002]"))?;
    for (address, port) in
        [("192.0.2.10", 5001), ("2001:db8::10", 5001), ("192.0.2.20", 5002), ("2001:db8::20", 5002)]
    {
        let to = SocketAddr::new(address.parse()?, port);
        let server = world.internet().run(|| UdpSocket::bind(to))??;
        server.set_read_timeout(Some(Duration::from_secs(3)))?;
        let payload: Vec<u8> = (0..8000u32).map(|byte| (byte % 251) as u8).collect();
        let sent = payload.clone();
        world.pod(POD).netns().run(move || -> Result<()> {
            let any: std::net::IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0))?;
            segment(&socket, 1000)?;
            socket.send_to(&sent, to)?;
            Ok(())
        })??;
        let mut all = Vec::new();
        let mut buffer = vec![0; 9000];
        while all.len() < payload.len() {
            let (length, _) = server.recv_from(&mut buffer).context("a segment is lost")?;
            all.extend_from_slice(&buffer[..length]);
        }
        assert!(all == payload, "{to}: the bytes are not those that were sent");
    }
    Ok(())
}

/// The kernel cuts what is sent into datagrams of this size, and passes them on as one for as long as it can.
fn segment(socket: &UdpSocket, size: i32) -> Result<()> {
    const UDP_SEGMENT: libc::c_int = 103;
    set(socket, libc::SOL_UDP, UDP_SEGMENT, size)
}

fn set(
    socket: &impl std::os::fd::AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> Result<()> {
    // SAFETY: an option that is an int, of a socket that is open.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), 4) };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// A SYN that brings data is held with them, and goes on with them.
#[test]
fn data_in_a_syn_go_through_the_hold() -> Result<()> {
    let world = World::with_pods(&[POD])?;
    let _agent = start(&world, "", &unmatched("allow: [7000], seconds: 1"))?;
    // Without cookies: the first SYN to a server may bring data.
    let allow = |netns: &egret_tests::netns::Netns, bits: &str| -> Result<()> {
        netns.run(|| std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", bits))??;
        Ok(())
    };
    allow(world.internet(), "514")?;
    allow(world.pod(POD).netns(), "5")?;
    for to in ["192.0.2.10:7000", "[2001:db8::10]:7000"] {
        let to: SocketAddr = to.parse()?;
        let server = world.internet().run(|| fast_server(to))??;
        let client = world.pod(POD).netns().run(|| fast_client(to, b"at once"))??;
        let (mut stream, _) = server.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
        let mut read = [0; 7];
        std::io::Read::read_exact(&mut stream, &mut read)?;
        assert_eq!(&read, b"at once", "{to}");
        assert!(came_with_its_syn(&client)?, "{to}: the SYN came without its data");
    }
    Ok(())
}

fn fast_server(to: SocketAddr) -> Result<std::net::TcpListener> {
    let server = std::net::TcpListener::bind(to)?;
    set(&server, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, 16)?;
    Ok(server)
}

fn fast_client(to: SocketAddr, data: &[u8]) -> Result<std::net::TcpStream> {
    use rustix::net::{AddressFamily, SocketType};
    let family = if to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    set(&socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1)?;
    rustix::net::connect(&socket, &to)?;
    let mut stream = std::net::TcpStream::from(socket);
    // The SYN leaves with this.
    std::io::Write::write_all(&mut stream, data)?;
    Ok(stream)
}

/// Whether the other end took the data with the SYN.
fn came_with_its_syn(stream: &std::net::TcpStream) -> Result<bool> {
    use std::os::fd::AsRawFd;
    const SYN_DATA: u8 = 32;
    // SAFETY: a C struct of integers, for which all zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let at = (&raw mut info).cast();
    // SAFETY: filled by the call, which is told its length.
    let got = unsafe {
        libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, at, &raw mut length)
    };
    if got == 0 { Ok(info.tcpi_options & SYN_DATA != 0) } else { Err(std::io::Error::last_os_error().into()) }
}
