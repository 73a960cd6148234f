//! Packets on hold go on whole, in their order, and none is lost.
#![allow(unsafe_code, reason = "UDP_SEGMENT has no safe wrapper")]

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
    use std::os::fd::AsRawFd;
    const UDP_SEGMENT: libc::c_int = 103;
    // SAFETY: an option that is an int, of a socket that is open.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, UDP_SEGMENT, (&raw const size).cast(), 4)
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}
