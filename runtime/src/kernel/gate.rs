//! The gate: a TAP device through which packets go on hold, and through which the agent puts them back.
#![allow(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use egret_abi::WorkloadIndex;
use rustix::net::{AddressFamily, SocketType};

use super::{Doing, KernelError, Object};

/// Name of the device, in the agent's network namespace.
pub const DEVICE: &str = "egret0";
/// Length of `struct virtio_net_hdr`, all zero for a packet that needs no help.
const OFFLOAD_HEADER: usize = 10;
/// Bytes of data in each of the segments of a merged packet. What it was is lost with the copy; this fits every link.
const SEGMENT: u16 = 1220;
/// Where the checksum is in a TCP header.
const TCP_CHECKSUM: u16 = 16;
/// Link address of a held packet: a ticket of an answer toward a workload.
const TICKET: [u8; 2] = [0x02, 0x02];
/// The same of a workload's own packet.
const PACKET: [u8; 2] = [0x02, 0x01];
/// Packets that wait to be read at one time; beyond, they are lost, and counted at the device.
const QUEUE: libc::c_int = 16_384;
/// What the kernel need not do before it hands a packet over: it comes back as it was. First with what is newer than
/// Linux 6.1, segments of UDP.
const OFFLOADS: [libc::c_uint; 2] = [0x01 | 0x02 | 0x04 | 0x20 | 0x40, 0x01 | 0x02 | 0x04];
/// The longest packet with its headers.
pub const FRAME_MAX: usize = OFFLOAD_HEADER + 18 + 65_535;

/// The agent's end of the gate.
pub struct Gate {
    file: File,
    index: u32,
    cuts: bool,
}

/// A packet of a workload that was put on hold: what is written back is what was read.
pub struct HeldPacket {
    /// Whose it is.
    pub workload: WorkloadIndex,
    /// The processor that put it there.
    pub processor: u16,
    bytes: Box<[u8]>,
}

impl HeldPacket {
    fn of(read: &[u8]) -> Option<Self> {
        // Only the programs of this agent put anything here, and this is how they mark it.
        let addresses: &[u8; 12] = read.get(OFFLOAD_HEADER..)?.first_chunk()?;
        let [a, b, c, d, e, f, source @ ..] = *addresses;
        let is_ours = [a, b] == PACKET && source.starts_with(&PACKET);
        let (processor, workload) = (u16::from_be_bytes([c, d]), u16::from_be_bytes([e, f]));
        is_ours.then(|| Self { workload: WorkloadIndex(workload.into()), processor, bytes: read.into() })
    }

    /// Its frame. Both link addresses are the gate's, not its own.
    #[must_use]
    pub fn frame(&self) -> &[u8] {
        self.bytes.get(OFFLOAD_HEADER..).unwrap_or_default()
    }
}

impl Gate {
    /// Makes the device, which one agent alone can have: before it is had, nothing of a node may be touched.
    ///
    /// # Errors
    /// Where the device is in use by another agent, or TUN is missing.
    pub fn claim() -> Result<Self, KernelError> {
        let flags = libc::O_NONBLOCK;
        let open = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun");
        let file = open.map_err(|error| KernelError::Missing {
            what: format!("/dev/net/tun cannot be opened: {error}"),
            fix: "load the kernel module `tun`, and run as root".to_owned(),
        })?;
        name_device(&file).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => KernelError::failed(
                format!("make the device {DEVICE}"),
                anyhow::anyhow!(
                    "another agent runs in this network namespace; stop it first: one serves one node"
                ),
            ),
            _ => KernelError::failed(format!("make the device {DEVICE}"), error),
        })?;
        Self::of(file)
    }

    /// The gate of the agent before, by its end of the device: what waits there to be read stays.
    ///
    /// # Errors
    /// Where the device is none of Egret's.
    pub fn inherit(end: OwnedFd) -> Result<Self, KernelError> {
        Self::of(end.into())
    }

    fn of(file: File) -> Result<Self, KernelError> {
        let failed = || format!("set the device {DEVICE} up");
        let [all, older] = OFFLOADS;
        let cuts = match take_offloads(&file, all) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                take_offloads(&file, older).doing(failed)?;
                true
            }
            taken => taken.map(|()| false).doing(failed)?,
        };
        let index = index().doing(failed)?;
        Ok(Self { file, index, cuts })
    }

    /// The number of the device.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whether it cuts datagrams that are still one into their segments.
    #[must_use]
    pub fn cuts(&self) -> bool {
        self.cuts
    }

    /// The next packet on hold, read into `buffer` of [`FRAME_MAX`] bytes; `None`: none is there now.
    ///
    /// # Errors
    /// What the device said.
    pub fn take(&self, buffer: &mut [u8]) -> io::Result<Option<HeldPacket>> {
        loop {
            match (&self.file).read(buffer) {
                Ok(length) => {
                    if let Some(packet) = buffer.get(..length).and_then(HeldPacket::of) {
                        return Ok(Some(packet));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a workload's packet back, to be judged again.
    ///
    /// # Errors
    /// Where the device refuses it; the packet is lost then.
    pub fn put_back(&self, packet: &HeldPacket) -> io::Result<()> {
        (&self.file).write(&packet.bytes).map(|_| ())
    }

    /// Puts the gate's programs on the device.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn open(&self, object: &mut Object) -> Result<(), KernelError> {
        // Before it is up: the device must never send anything of its own.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6"), "1");
        object.attach_gate(DEVICE)?;
        bring_up().doing(|| format!("bring the device {DEVICE} up"))
    }

    /// Puts a held answer back: `frame` as it was copied, its checksum complete, or partial where `offload` says what
    /// segments it is made of.
    ///
    /// # Errors
    /// Where the device refuses it; the packet is lost then.
    pub fn release(&self, ticket: u32, frame: &mut [u8], offload: Option<Offload>) -> io::Result<()> {
        if let Some(source) = frame.get_mut(6..12) {
            source[..2].copy_from_slice(&TICKET);
            source[2..].copy_from_slice(&ticket.to_be_bytes());
        }
        let header = offload.map_or([0; OFFLOAD_HEADER], Offload::header);
        (&self.file).write_vectored(&[IoSlice::new(&header), IoSlice::new(frame)]).map(|_| ())
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What is said of a packet that several TCP segments were merged into.
#[derive(Clone, Copy, Debug)]
pub struct Offload {
    /// Whether over IPv6.
    pub v6: bool,
    /// Where the TCP header starts.
    pub transport: u16,
    /// Where its data start.
    pub data: u16,
}

impl Offload {
    /// `struct virtio_net_hdr`, in the byte order of the machine.
    fn header(self) -> [u8; OFFLOAD_HEADER] {
        const NEEDS_CHECKSUM: u8 = 1;
        let kind = if self.v6 { 4 } else { 1 };
        let words = [self.data, SEGMENT, self.transport, TCP_CHECKSUM];
        let mut header = [0; OFFLOAD_HEADER];
        header[..2].copy_from_slice(&[NEEDS_CHECKSUM, kind]);
        header[2..].copy_from_slice(words.map(u16::to_ne_bytes).as_flattened());
        header
    }
}

fn request() -> libc::ifreq {
    // SAFETY: a C struct of integers and byte arrays; all zero is one of its values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request
}

fn name_device(file: &File) -> io::Result<()> {
    let mut request = request();
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = i16::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes an ifreq.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) })
}

fn take_offloads(file: &File, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::c_ulong::from(flags)) })
}

fn index() -> io::Result<u32> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(rustix::net::netdevice::name_to_index(&socket, DEVICE)?)
}

fn bring_up() -> io::Result<()> {
    // SAFETY: a plain system call; the descriptor is owned at once.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(socket)?;
    // SAFETY: just made, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let mut longer = request();
    longer.ifr_ifru.ifru_metric = QUEUE;
    // SAFETY: SIOCSIFTXQLEN reads an ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFTXQLEN as _, &raw mut longer) })?;
    let mut request = request();
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
