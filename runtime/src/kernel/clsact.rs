//! Tier 2: filters of a clsact qdisc. They belong to their device and go with it; nothing pins them.
//!
//! A filter is told by its handle. Filters run by priority, the lowest number first, and within one priority the one
//! that was added last comes first. So Egret's is of priority 1, and where another was added before it, it is put there
//! again under the other one of two handles before the old one goes: there is always one of them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcMessage, TcOption,
};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::order::{Other, Standing};
use super::{Doing, KernelError};

/// Before all filters of another priority.
const PRIORITY: u16 = 1;
/// "EG", and which of the two.
const HANDLES: [u32; 2] = [0x4547_0001, 0x4547_0002];
/// `ETH_P_ALL`, as it stands in a message.
const EVERY_PROTOCOL: u16 = 3u16.to_be();
const KIND: &str = "bpf";

/// Which way packets go through a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the device into its namespace.
    Ingress,
    /// Out of its namespace through the device.
    Egress,
}

impl Side {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    fn parent(self) -> TcHandle {
        let minor = if self == Self::Ingress { TcHandle::MIN_INGRESS } else { TcHandle::MIN_EGRESS };
        TcHandle { major: TcHandle::CLSACT.major, minor }
    }
}

/// A program to be put on a device.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Its name.
    pub name: &'a str,
    /// Itself.
    pub fd: BorrowedFd<'a>,
}

/// A filter of a device, in the order in which the kernel runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    kind: String,
    priority: u16,
    protocol: u16,
    handle: u32,
    program: Option<u32>,
    name: String,
}

impl Filter {
    fn of(message: &TcMessage) -> Option<Self> {
        let (mut kind, mut program, mut name) = (String::new(), None, String::new());
        for attribute in &message.attributes {
            match attribute {
                TcAttribute::Kind(name) => kind.clone_from(name),
                // Another chain is not gone through by itself.
                TcAttribute::Chain(chain) if *chain != 0 => return None,
                TcAttribute::Options(options) => {
                    for option in options {
                        match option {
                            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => program = Some(*id),
                            TcOption::Bpf(TcFilterBpfOption::ProgName(told)) => name.clone_from(told),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let TcHandle { major, minor } = message.header.handle;
        let info = message.header.info;
        let filter = Self {
            kind,
            priority: (info >> 16) as u16,
            protocol: info as u16,
            handle: u32::from(major) << 16 | u32::from(minor),
            program,
            name,
        };
        // The kernel tells of each priority by itself, too.
        (filter.handle != 0).then_some(filter)
    }

    fn told(&self) -> Other {
        let name = if self.name.is_empty() { &self.kind } else { &self.name };
        Other::named(self.program.unwrap_or(0), name)
    }

    fn is_ours(&self) -> bool {
        self.kind == KIND && self.priority == PRIORITY && HANDLES.contains(&self.handle)
    }
}

/// Puts `program` first on one side of the device, in the place of the one of an earlier agent.
///
/// # Errors
/// What the kernel said, or who cannot be got ahead of.
pub fn put_first(device: u32, side: Side, program: Program<'_>) -> Result<(), KernelError> {
    let doing = || format!("attach {} to device {device} by clsact", program.name);
    add_clsact(device).doing(doing)?;
    let there = filters(device, side).doing(doing)?;
    if let Some(first) = there.first().filter(|first| first.is_ours()) {
        return change(device, side, first.handle, program, 0).doing(doing);
    }
    if let Some(other) = there.first().filter(|other| other.priority <= PRIORITY && other.kind != KIND) {
        let error = format!("a filter of kind {} is first there, and cannot be got ahead of", other.kind);
        return Err(KernelError::failed(doing(), anyhow::anyhow!(error)));
    }
    let old: Vec<_> = there.iter().filter(|filter| filter.is_ours()).map(|filter| filter.handle).collect();
    let free = HANDLES.into_iter().find(|handle| !old.contains(handle));
    let handle = match (free, old.last()) {
        (Some(free), _) => free,
        (None, last) => {
            let last = last.copied().unwrap_or(HANDLES[0]);
            remove(device, side, last).doing(doing)?;
            last
        }
    };
    change(device, side, handle, program, NLM_F_CREATE | NLM_F_EXCL).doing(doing)?;
    for old in old.into_iter().filter(|old| *old != handle) {
        remove(device, side, old).doing(doing)?;
    }
    Ok(())
}

/// How the program numbered `ours` stands on one side of the device.
pub fn standing(device: u32, side: Side, ours: u32) -> Result<Standing, KernelError> {
    let there = filters(device, side).doing(|| format!("read the filters of device {device}"))?;
    let is_it = |filter: &Filter| filter.is_ours() && filter.program == Some(ours);
    Ok(match there.first() {
        Some(first) if is_it(first) => Standing::First,
        Some(first) if there.iter().any(is_it) => Standing::Behind(first.told()),
        _ => Standing::Gone,
    })
}

/// The filters of others on one side of the device, of whatever kind.
///
/// # Errors
/// What the kernel said.
pub fn others(device: u32, side: Side) -> io::Result<Vec<Other>> {
    let there = filters(device, side)?;
    Ok(there.iter().filter(|filter| !filter.is_ours()).map(Filter::told).collect())
}

/// Takes Egret's filters away from a device; the qdisc stays, for others may have filters there.
///
/// # Errors
/// What the kernel said.
pub fn sweep(device: u32) -> io::Result<()> {
    for side in Side::BOTH {
        for filter in filters(device, side)?.iter().filter(|filter| filter.is_ours()) {
            remove(device, side, filter.handle)?;
        }
    }
    Ok(())
}

fn add_clsact(device: u32) -> io::Result<()> {
    let mut message = message(device)?;
    message.header.handle = TcHandle { major: TcHandle::CLSACT.major, minor: 0 };
    message.header.parent = TcHandle::CLSACT;
    message.attributes.push(TcAttribute::Kind("clsact".to_owned()));
    let added = ask(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    match added {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        added => added.map(drop),
    }
}

/// No filters where there is no qdisc to have them.
fn filters(device: u32, side: Side) -> io::Result<Vec<Filter>> {
    let mut message = message(device)?;
    message.header.parent = side.parent();
    let answers = match ask(RouteNetlinkMessage::GetTrafficFilter(message), NLM_F_DUMP) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => return Ok(vec![]),
        answers => answers?,
    };
    Ok(answers.iter().filter_map(Filter::of).collect())
}

fn change(device: u32, side: Side, handle: u32, program: Program<'_>, flags: u16) -> io::Result<()> {
    let mut message = filter(device, side, handle)?;
    let options = vec![
        TcOption::Bpf(TcFilterBpfOption::ProgFd(program.fd.as_raw_fd().cast_unsigned())),
        TcOption::Bpf(TcFilterBpfOption::ProgName(format!("egret:{}", program.name))),
        TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
    ];
    message.attributes.extend([TcAttribute::Kind(KIND.to_owned()), TcAttribute::Options(options)]);
    ask(RouteNetlinkMessage::NewTrafficFilter(message), NLM_F_ACK | flags).map(drop)
}

fn remove(device: u32, side: Side, handle: u32) -> io::Result<()> {
    let mut message = filter(device, side, handle)?;
    message.attributes.push(TcAttribute::Kind(KIND.to_owned()));
    match ask(RouteNetlinkMessage::DelTrafficFilter(message), NLM_F_ACK) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map(drop),
    }
}

fn message(device: u32) -> io::Result<TcMessage> {
    let mut message = TcMessage::default();
    message.header.index = i32::try_from(device).map_err(io::Error::other)?;
    Ok(message)
}

fn filter(device: u32, side: Side, handle: u32) -> io::Result<TcMessage> {
    let mut message = message(device)?;
    message.header.parent = side.parent();
    message.header.handle = TcHandle::from(handle);
    message.header.info = u32::from(PRIORITY) << 16 | u32::from(EVERY_PROTOCOL);
    Ok(message)
}

/// Sends one message from this thread's network namespace, and waits for all that the kernel answers.
fn ask(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<TcMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = 1;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        if take(&datagram, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Reads the messages of a datagram; true at the last of an answer.
fn take(datagram: &[u8], answers: &mut Vec<TcMessage>) -> io::Result<bool> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                return match error.code {
                    None => Ok(true),
                    Some(_) => Err(error.to_io()),
                };
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewTrafficFilter(filter)) => {
                answers.push(filter)
            }
            _ => {}
        }
        // Each is padded to four bytes.
        let length = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(length.max(16)..).unwrap_or_default();
    }
    Ok(false)
}
