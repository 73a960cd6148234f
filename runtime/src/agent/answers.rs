//! The thread that learns DNS answers: parse, bind, put back. Nothing else happens on it, for an application waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egret_abi::{AnswerHead, Carried, WorkloadIndex};
use tracing::warn;

use super::lessons::Lessons;
use crate::dns::{self, Connections, Fragment, Fragments, FrameError, Merged, TcpFrame, UdpFrame};
use crate::enforce::Binder;
use crate::kernel::rings::{Ring, Stop, answer};
use crate::kernel::{Gate, clock};

/// How often what has gone quiet is forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// Serves the ring until `stop`. Every answer is put back, whether it taught anything or not.
pub fn serve(mut ring: Ring, gate: &Gate, binder: &Arc<Mutex<Binder>>, lessons: &Lessons, stop: &Stop) {
    let mut learner = Learner {
        binder,
        lessons,
        connections: Connections::default(),
        fragments: Fragments::default(),
        swept: clock::now(),
    };
    let mut frame = Vec::new();
    ring.read_until(stop, Duration::ZERO, |record| {
        let Some((head, bytes)) = answer(record) else { return };
        frame.clear();
        frame.extend_from_slice(bytes);
        let is_on_hold = learner.take(&head, &frame);
        if !is_on_hold {
            return;
        }
        let merged = Merged::of(&frame);
        if merged.is_none() {
            let _ = dns::complete_checksum(&mut frame);
        }
        if let Err(error) = gate.release(head.ticket, &mut frame, merged.map(offload)) {
            warn!("a DNS answer is lost: the gate refused it: {error}");
        }
    });
}

struct Learner<'a> {
    binder: &'a Mutex<Binder>,
    lessons: &'a Lessons,
    connections: Connections,
    fragments: Fragments,
    swept: Duration,
}

impl Learner<'_> {
    /// Learns what a frame teaches; whether it waits to be put back.
    fn take(&mut self, head: &AnswerHead, frame: &[u8]) -> bool {
        let now = clock::now();
        if now.saturating_sub(self.swept) > SWEEP {
            self.swept = now;
            self.connections.sweep(now);
            self.fragments.sweep(now);
        }
        match Carried::of(head.carried) {
            Some(Carried::Asking) => {
                self.asking(head.workload, frame, now);
                return false;
            }
            Some(Carried::Segment) => self.segment(head.workload, frame, now),
            Some(Carried::Datagram) => match UdpFrame::parse(frame) {
                Ok(datagram) => learn(self.binder, self.lessons, head.workload, datagram.payload, now),
                Err(FrameError::Fragment) => self.fragment(head.workload, frame, true, now),
                Err(_) => self.lessons.malformed.add(),
            },
            Some(Carried::Piece) => self.fragment(head.workload, frame, false, now),
            None => self.lessons.malformed.add(),
        }
        true
    }

    fn asking(&mut self, workload: WorkloadIndex, frame: &[u8], now: Duration) {
        let Ok(segment) = TcpFrame::parse(frame) else { return };
        if let Err(stray) = self.connections.sent(workload, &segment, now)
            && !segment.payload.is_empty()
        {
            self.lessons.count(stray);
        }
    }

    fn fragment(&mut self, workload: WorkloadIndex, frame: &[u8], asked: bool, now: Duration) {
        let Some(fragment) = Fragment::parse(frame) else { return self.lessons.malformed.add() };
        match self.fragments.received(workload, &fragment, asked, now) {
            Ok(Some(message)) => learn(self.binder, self.lessons, workload, &message, now),
            Ok(None) => {}
            Err(stray) => self.lessons.count(stray),
        }
    }

    fn segment(&mut self, workload: WorkloadIndex, frame: &[u8], now: Duration) {
        let Ok(segment) = TcpFrame::parse(frame) else { return self.lessons.malformed.add() };
        let each = |message: &[u8]| learn(self.binder, self.lessons, workload, message, now);
        // The last words of a connection that is forgotten already teach nothing, and need not.
        if let Err(stray) = self.connections.received(workload, &segment, now, each)
            && !segment.payload.is_empty()
        {
            self.lessons.count(stray);
        }
    }
}

/// When this returns, what `message` says is bound.
fn learn(binder: &Mutex<Binder>, lessons: &Lessons, workload: WorkloadIndex, message: &[u8], now: Duration) {
    let Ok(answer) = dns::parse(message) else { return lessons.malformed.add() };
    let mut binder = binder.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = binder.learn(workload, &answer, now) {
        warn!("the addresses of {} stay denied: {error}", answer.question);
    }
}

fn offload(merged: Merged) -> crate::kernel::gate::Offload {
    crate::kernel::gate::Offload { v6: merged.v6, transport: merged.transport, data: merged.data }
}
