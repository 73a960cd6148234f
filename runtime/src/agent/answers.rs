//! The thread that learns DNS answers: parse, bind, put back. Nothing else happens on it, for an application waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::warn;

use crate::dns::{self, UdpFrame};
use crate::enforce::Binder;
use crate::kernel::rings::{Ring, Stop, answer};
use crate::kernel::{Gate, clock};

/// Serves the ring until `stop`. Every answer is put back, whether it taught anything or not.
pub fn serve(mut ring: Ring, gate: &Gate, binder: &Arc<Mutex<Binder>>, stop: &Stop) {
    let mut frame = Vec::new();
    ring.read_until(stop, Duration::ZERO, |record| {
        let Some((head, bytes)) = answer(record) else { return };
        frame.clear();
        frame.extend_from_slice(bytes);
        if let Some(answer) = read(&frame) {
            let mut binder = binder.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = binder.learn(head.workload, &answer, clock::now()) {
                warn!("the addresses of {} stay denied: {error}", answer.question);
            }
        }
        let _ = dns::complete_checksum(&mut frame);
        if let Err(error) = gate.release(head.ticket, &mut frame) {
            warn!("a DNS answer is lost: the gate refused it: {error}");
        }
    });
}

/// What the frame teaches; nothing where it is no whole answer.
fn read(frame: &[u8]) -> Option<dns::Answer> {
    dns::parse(UdpFrame::parse(frame).ok()?.payload).ok()
}
