//! A DNS answer on its way to a workload made into a refusal: over UDP the response code REFUSED with nothing but the
//! question, over TCP the end of the connection, for what came before of the answer is delivered already.

use std::net::IpAddr;

use super::frame::{FrameError, Located, be16, checksum_of, locate};

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
/// A DNS header.
const HEADER: usize = 12;
/// Type and class behind a question's name.
const TYPE_AND_CLASS: usize = 4;
const REFUSED: u8 = 5;
const RST_ACK: u8 = 0x14;

/// Makes the answer in `frame` a refusal, with its lengths and checksums. What follows the packet is cut off.
///
/// # Errors
/// [`FrameError`]; then the frame is unchanged.
pub fn refuse(frame: &mut Vec<u8>) -> Result<(), FrameError> {
    let mut found = locate(frame)?;
    let packet = &mut frame[found.start..found.end];
    let length = if found.protocol == UDP_PROTOCOL {
        let kept = refuse_message(&mut packet[UDP..]).ok_or(FrameError::Short("DNS message"))?;
        let length = UDP + kept;
        packet[4..6].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        length
    } else {
        packet[13] = RST_ACK;
        // No window, and nothing urgent.
        packet[14..16].fill(0);
        packet[18..20].fill(0);
        usize::from(packet[12] >> 4) * 4
    };
    found.end = found.start + length;
    frame.truncate(found.end);
    set_length(frame, &found);
    let packet = &mut frame[found.start..];
    let at = found.checksum_at();
    packet[at..at + 2].fill(0);
    let whole = checksum_of(&found, packet);
    packet[at..at + 2].copy_from_slice(&whole.to_be_bytes());
    Ok(())
}

/// Bytes of it that are kept; `None`: there is not even a header.
fn refuse_message(message: &mut [u8]) -> Option<usize> {
    let question = question_end(message);
    let header = message.first_chunk_mut::<HEADER>()?;
    // Not authoritative, not cut short; not authenticated.
    header[2] &= !0b110;
    header[3] = header[3] & 0b1001_0000 | REFUSED;
    header[4..].fill(0);
    if question.is_some() {
        header[5] = 1;
    }
    Some(question.unwrap_or(HEADER))
}

/// Where the one question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    if message.len() < HEADER || be16(message, 4) != 1 {
        return None;
    }
    let mut at = HEADER;
    loop {
        let label = usize::from(*message.get(at)?);
        at += 1 + label;
        match label {
            0 => break,
            1..=63 => {}
            _ => return None,
        }
    }
    let end = at + TYPE_AND_CLASS;
    (end <= message.len()).then_some(end)
}

/// Writes how long the IP packet is now.
fn set_length(frame: &mut [u8], found: &Located) {
    let packet = &mut frame[ETHERNET..];
    match found.source {
        IpAddr::V4(_) => {
            let (length, header) = (packet.len(), usize::from(packet[0] & 0xf) * 4);
            packet[2..4].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
            packet[10..12].fill(0);
            let sum = super::frame::header_checksum(&packet[..header]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        IpAddr::V6(_) => {
            let length = packet.len() - IPV6;
            packet[4..6].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
}

#[cfg(test)]
#[path = "refuse_tests.rs"]
mod tests;
