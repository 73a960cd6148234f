//! The sockets of a namespace: which flows there are, and how to end one for both ends.
//!
//! In: a namespace. Out: a [`Census`] of its flows with their direction, or how many sockets were ended. [`wire`] reads
//! and writes the kernel's bytes, [`census`] makes flows of sockets; both are pure, and this file does the asking.
//! Called where a workload is armed, and where a change of policy ends flows.

mod census;
pub mod wire;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt,
};

use super::maps::FlowTuple;
use super::netns::{self, NetNs};
use super::{Doing, KernelError};
use census::Count;
use wire::{FAMILIES, Message, Socket, TCP, UDP};

pub use census::Census;

/// How long all of one workload's sockets may take to be told.
const LIMIT: Duration = Duration::from_secs(2);
/// A datagram of the kernel's dump is at most this long.
const DATAGRAM: usize = 1 << 16;

// TCP's states, a bit each; UDP uses the first for connected and CLOSE for not.
const ESTABLISHED: u32 = 1 << 1;
const SYN_RECV: u32 = 1 << 3;
const FIN_WAIT: u32 = 1 << 4 | 1 << 5;
const CLOSE: u32 = 1 << 7;
const CLOSE_WAIT: u32 = 1 << 8;
const LAST_ACK: u32 = 1 << 9;
const LISTEN: u32 = 1 << 10;
const CLOSING: u32 = 1 << 11;

/// Who listens.
const LISTENING: [(u8, u32); 2] = [(TCP, LISTEN), (UDP, CLOSE)];
/// What has two ends, the most worth first: a socket that has yet to see its handshake through comes last.
const CONNECTED: [(u8, u32); 4] = [
    (TCP, ESTABLISHED | CLOSE_WAIT),
    (UDP, ESTABLISHED),
    (TCP, FIN_WAIT | CLOSING | LAST_ACK),
    (TCP, SYN_RECV),
];

/// Counts the flows of a workload whose addresses are `own`; `most` of each direction and family.
///
/// # Errors
/// The namespace cannot be entered, or its kernel tells of no TCP sockets (`CONFIG_INET_DIAG`).
pub fn count(netns: &NetNs, own: &BTreeSet<IpAddr>, most: usize) -> Result<Census, KernelError> {
    netns::inside(netns, || {
        let (socket, deadline) = (open()?, Instant::now() + LIMIT);
        let mut count = Count::new(own.clone(), most);
        let mut each = |protocol, states, take: fn(&mut Count, u8, &Socket)| {
            for family in FAMILIES {
                if !dump(&socket, deadline, family, protocol, states, |found| {
                    take(&mut count, protocol, found)
                })? {
                    count.break_off();
                }
            }
            Ok::<_, Errno>(())
        };
        for (protocol, states) in LISTENING {
            each(protocol, states, Count::listens)?;
        }
        for (protocol, states) in CONNECTED {
            each(protocol, states, Count::connects)?;
        }
        Ok(count.finish())
    })?
    .map_err(|error: Errno| error)
    .doing(|| format!("list the sockets in {}", netns.path.display()))
}

/// Ends the TCP sockets in `netns` whose flow is `unwanted`: how many. Each one's kernel tells its peer.
///
/// # Errors
/// As [`count`]; or the kernel ends no sockets (`CONFIG_INET_DIAG_DESTROY`).
pub fn end(netns: &NetNs, unwanted: impl Fn(&FlowTuple) -> bool + Sync) -> Result<usize, KernelError> {
    netns::inside(netns, || {
        let (socket, deadline) = (open()?, Instant::now() + LIMIT);
        let mut found = Vec::new();
        for family in FAMILIES {
            let states = ESTABLISHED | CLOSE_WAIT | FIN_WAIT | CLOSING | LAST_ACK;
            dump(&socket, deadline, family, TCP, states, |socket| {
                if unwanted(&socket.flow(TCP)) {
                    found.push(*socket);
                }
            })?;
        }
        let mut ended = 0;
        for unwanted in &found {
            ended += usize::from(destroy(&socket, unwanted)?);
        }
        Ok(ended)
    })?
    .map_err(|error: Errno| error)
    .doing(|| format!("end sockets in {}", netns.path.display()))
}

/// Whether this kernel ends sockets when told to: asked of a socket that is not there.
#[must_use]
pub fn can_end() -> bool {
    let nobody = Socket { family: FAMILIES[0], state: 1, id: wire::Id::default() };
    open().is_ok_and(|socket| destroy(&socket, &nobody).is_ok())
}

fn open() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(LIMIT))?;
    Ok(socket)
}

/// Hands every socket asked for to `take`. False: there was no time for all.
fn dump(
    socket: &OwnedFd,
    deadline: Instant,
    family: u8,
    protocol: u8,
    states: u32,
    mut take: impl FnMut(&Socket),
) -> Result<bool, Errno> {
    if Instant::now() > deadline {
        return Ok(false);
    }
    send(socket, &wire::dump(family, protocol, states), SendFlags::empty())?;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (length, _) = recv(socket, &mut datagram[..], RecvFlags::empty())?;
        for message in wire::messages(&datagram[..length]) {
            match message {
                Message::Socket(found) => take(&found),
                Message::Done => return Ok(true),
                // A kernel without IPv6, or one that does not tell of UDP.
                Message::Error(_) if protocol == UDP || family != FAMILIES[0] => return Ok(true),
                Message::Error(error) => return Err(Errno::from_raw_os_error(error)),
            }
        }
        if Instant::now() > deadline {
            // What is left of this dump would be taken for the next one's: the socket has had its time.
            return Ok(false);
        }
    }
}

/// False: it was gone already.
fn destroy(socket: &OwnedFd, unwanted: &Socket) -> Result<bool, Errno> {
    send(socket, &wire::destroy(unwanted, TCP), SendFlags::empty())?;
    let mut datagram = [0; 4096];
    let (length, _) = recv(socket, &mut datagram[..], RecvFlags::empty())?;
    let answer = wire::messages(&datagram[..length]).next();
    match answer {
        Some(Message::Error(0)) => Ok(true),
        Some(Message::Error(error)) if error == libc::EOPNOTSUPP || error == libc::EPERM => {
            Err(Errno::from_raw_os_error(error))
        }
        _ => Ok(false),
    }
}
