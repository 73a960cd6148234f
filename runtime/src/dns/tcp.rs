//! An Ethernet frame with a TCP segment in it.

use std::net::SocketAddr;

use super::frame::{FrameError, be16, locate};

const TCP_PROTOCOL: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A segment in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFrame<'a> {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The number of its first byte; of its SYN, where it has one.
    pub sequence: u32,
    /// The number of the byte that its sender expects next.
    pub acknowledgment: u32,
    /// FIN, SYN, RST, ACK and others, as they stand in the header.
    pub flags: u8,
    /// Its data.
    pub payload: &'a [u8],
}

impl<'a> TcpFrame<'a> {
    /// Reads `frame`, from its Ethernet header on.
    ///
    /// # Errors
    /// [`FrameError`]; no input makes it panic.
    pub fn parse(frame: &'a [u8]) -> Result<Self, FrameError> {
        let found = locate(frame)?;
        if found.protocol != TCP_PROTOCOL {
            return Err(FrameError::Protocol(found.protocol));
        }
        let segment = &frame[found.start..found.end];
        let word = |at| u32::from(be16(segment, at)) << 16 | u32::from(be16(segment, at + 2));
        Ok(Self {
            source: SocketAddr::new(found.source, be16(segment, 0)),
            destination: SocketAddr::new(found.destination, be16(segment, 2)),
            sequence: word(4),
            acknowledgment: word(8),
            flags: segment[13],
            payload: &segment[usize::from(segment[12] >> 4) * 4..],
        })
    }

    /// It opens a connection: a SYN without an ACK.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN
    }

    /// It agrees to a connection: a SYN with an ACK.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.flags & (SYN | ACK | RST | FIN) == SYN | ACK
    }

    /// Its acknowledgment number counts.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        self.flags & ACK != 0
    }

    /// It ends the connection at once.
    #[must_use]
    pub fn resets(&self) -> bool {
        self.flags & RST != 0
    }

    /// Its sender sends nothing after it.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.flags & FIN != 0
    }
}
