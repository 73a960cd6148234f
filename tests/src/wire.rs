//! Frames as an attacker makes them, byte by byte, put on a device by a process that has nothing but CAP_NET_RAW.
//!
//! In: a [`Frame`]. Out: what `egret-frame` does with it on a packet socket, in the namespace it is started in.
#![allow(unsafe_code, reason = "a packet socket is addressed by a structure that has no safe wrapper")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};

use crate::dial::program_beside_us;
use crate::netns::Netns;
use crate::raw::{checksum, udp_packet};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];

/// A frame, and how it is put on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The device's name.
    pub device: String,
    /// From the link header on.
    pub bytes: Vec<u8>,
    /// Past the device's queue and the programs on its way out (`PACKET_QDISC_BYPASS`).
    pub bypass: bool,
    /// The mark that the socket gives it (`SO_MARK`).
    pub mark: u32,
    /// How often more; a device that has no room for all of them takes fewer.
    pub more: u32,
}

impl Frame {
    /// An IP packet to the link address `to`, from one that nobody has.
    #[must_use]
    pub fn to(device: &str, to: [u8; 6], packet: &[u8]) -> Self {
        Self::tagged(device, to, &[], packet)
    }

    /// The same behind VLAN tags, the outer one first: each its ethertype and its number.
    #[must_use]
    pub fn tagged(device: &str, to: [u8; 6], tags: &[(u16, u16)], packet: &[u8]) -> Self {
        let mut bytes = [to, [0x02, 0, 0, 0, 0, 0x66]].concat();
        for (ethertype, number) in tags {
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(if packet[0] >> 4 == 4 { IPV4 } else { IPV6 });
        bytes.extend(packet);
        Self { device: device.to_owned(), bytes, ..Self::default() }
    }

    /// Past the device's queue.
    #[must_use]
    pub fn bypassing(self) -> Self {
        Self { bypass: true, ..self }
    }

    /// With this mark.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        Self { mark, ..self }
    }

    /// So many times.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { more: times.saturating_sub(1), ..self }
    }

    /// Sends it from `netns`, from a process that may do nothing else.
    ///
    /// # Errors
    /// The kernel takes no such frame. That it arrives anywhere is not promised.
    pub fn send(&self, netns: &Netns) -> Result<()> {
        let mut command = netns.command("setpriv");
        command.args(["--inh-caps=-all,+net_raw", "--bounding-set=-all,+net_raw", "--no-new-privs"]);
        command.arg(program_beside_us("egret-frame")?).arg(serde_json::to_string(self)?);
        let output = command.output().context("cannot run setpriv; install util-linux")?;
        ensure!(output.status.success(), "egret-frame: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Sends it here and now.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn put(&self) -> Result<()> {
        // Of no protocol: it hears nothing.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        if self.bypass {
            set(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1).context("PACKET_QDISC_BYPASS")?;
        }
        if self.mark != 0 {
            set(&socket, libc::SOL_SOCKET, libc::SO_MARK, self.mark.cast_signed()).context("SO_MARK")?;
        }
        let to = self.address()?;
        let send = || {
            // SAFETY: the bytes are of the length given, and the address is a sockaddr_ll of its own size.
            check(unsafe {
                let (to, length) =
                    ((&raw const to).cast(), size_of::<libc::sockaddr_ll>() as libc::socklen_t);
                libc::sendto(socket.as_raw_fd(), self.bytes.as_ptr().cast(), self.bytes.len(), 0, to, length)
            })
        };
        (0..self.more).for_each(|_| drop(send()));
        match send() {
            // What a program or a full queue drops on the way out: it was sent.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
            sent => sent.context("send"),
        }
    }

    fn address(&self) -> Result<libc::sockaddr_ll> {
        let names = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        let index = rustix::net::netdevice::name_to_index(&names, &self.device)?;
        // SAFETY: a C struct of integers and byte arrays; all zero is one of its values.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = i32::try_from(index)?;
        address.sll_protocol = u16::from_ne_bytes([self.bytes[12], self.bytes[13]]);
        address.sll_halen = 6;
        address.sll_addr[..6].copy_from_slice(&self.bytes[..6]);
        Ok(address)
    }
}

/// A UDP datagram as a whole IP packet, both checksums there: nobody fills them in for a packet socket.
///
/// # Panics
/// `from` and `to` are of different families.
#[must_use]
pub fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut packet = udp_packet(from, to, payload);
    if from.is_ipv4() {
        let sum = checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option's value is an int of the length given.
    check(unsafe {
        let (value, length) = ((&raw const value).cast(), size_of::<i32>() as libc::socklen_t);
        libc::setsockopt(socket.as_raw_fd(), level, option, value, length)
    } as isize)
}

fn check(result: isize) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
