//! The thread that learns DNS answers: parse, bind, put back; or refuse, where modules said so before. Nothing else happens
//! on it, for an application waits.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use egret_abi::{AnswerHead, Carried, WorkloadIndex};
use tracing::warn;

use super::lessons::Lessons;
use super::lookups::{self, LookUps};
use super::node::Node;
use crate::dns::{self, Connections, Fragment, Fragments, FrameError, Merged, Stray, TcpFrame, UdpFrame};
use crate::enforce::Binder;
use crate::kernel::rings::{Ring, Stop, answer};
use crate::kernel::{Gate, Pulse, clock};
use crate::model::{Action, Protocol, Verdicts};

/// The port of DNS.
const DNS: u16 = 53;
/// How often what has gone quiet is forgotten.
const SWEEP: Duration = Duration::from_secs(10);

/// What the thread learns into, and what it asks.
pub struct Hands {
    /// What was learned.
    pub binder: Arc<Mutex<Binder>>,
    /// What was not.
    pub lessons: Arc<Lessons>,
    /// What modules said of answers.
    pub lookups: Arc<LookUps>,
    /// Who is told.
    pub node: Arc<Node>,
}

/// Serves the ring until `stop`. Every answer is put back, whether it taught anything or not; one that is refused as a
/// refusal, or not at all where it came in pieces.
pub fn serve((mut ring, mut pulse): (Ring, Pulse), gate: &Gate, hands: &Hands, stop: &Stop) {
    let mut learner = Learner {
        hands,
        connections: Connections::default(),
        fragments: Fragments::default(),
        swept: clock::now(),
    };
    let mut frame = Vec::new();
    let each = |record: &[u8]| {
        let Some((head, bytes)) = answer(record) else { return };
        frame.clear();
        frame.extend_from_slice(bytes);
        match learner.take(&head, &frame) {
            Fate::GoesOn => {}
            Fate::Refused => {
                if dns::refuse(&mut frame).is_err() {
                    return;
                }
            }
            Fate::Ends => return,
        }
        let merged = Merged::of(&frame);
        if merged.is_none() {
            let _ = dns::complete_checksum(&mut frame);
        }
        if let Err(error) = gate.release(head.ticket, &mut frame, merged.map(offload)) {
            warn!("a DNS answer is lost: the gate refused it: {error}");
        }
    };
    ring.read_alive(stop, Pulse::EVERY, each, || beat(&mut pulse));
}

fn beat(pulse: &mut Pulse) {
    match pulse.beat() {
        Ok(None) => {}
        Ok(Some(silent)) => warn!(
            "no answer was learned here for {:.1} s, for this agent was stopped or had no processor; meanwhile packets and \
             odd answers went on as they do without an agent",
            silent.as_secs_f64()
        ),
        Err(error) => warn!("the programs take this agent for one that hangs: {error}"),
    }
}

/// What becomes of a frame.
#[derive(PartialEq)]
enum Fate {
    GoesOn,
    Refused,
    /// It is no answer on hold, or one that cannot be made a refusal.
    Ends,
}

struct Learner<'a> {
    hands: &'a Hands,
    connections: Connections,
    fragments: Fragments,
    swept: Duration,
}

impl Learner<'_> {
    /// Learns what a frame teaches.
    fn take(&mut self, head: &AnswerHead, frame: &[u8]) -> Fate {
        let now = clock::now();
        if now.saturating_sub(self.swept) > SWEEP {
            self.swept = now;
            self.connections.sweep(now);
            self.fragments.sweep(now);
        }
        match Carried::of(head.carried) {
            Some(Carried::Asking) => {
                self.asking(head.workload, frame, now);
                Fate::Ends
            }
            Some(Carried::Learned) => {
                if let Ok(datagram) = UdpFrame::parse(frame) {
                    self.hands.learned(head.workload, datagram.payload, now);
                }
                Fate::Ends
            }
            Some(Carried::Segment) => self.segment(head.workload, frame, now),
            Some(Carried::Datagram) => match UdpFrame::parse(frame) {
                Ok(datagram) => {
                    let from = (datagram.source, Protocol::UDP);
                    self.hands.message(head.workload, from, datagram.payload, now)
                }
                Err(FrameError::Fragment) => self.fragment(head.workload, frame, true, now),
                Err(_) => self.hands.malformed(),
            },
            Some(Carried::Piece) => self.fragment(head.workload, frame, false, now),
            None => self.hands.malformed(),
        }
    }

    fn asking(&mut self, workload: WorkloadIndex, frame: &[u8], now: Duration) {
        let Ok(segment) = TcpFrame::parse(frame) else { return };
        if let Err(stray) = self.connections.sent(workload, &segment, now)
            && !segment.payload.is_empty()
        {
            self.hands.lessons.count(stray);
        }
    }

    fn fragment(&mut self, workload: WorkloadIndex, frame: &[u8], asked: bool, now: Duration) -> Fate {
        let Some(fragment) = Fragment::parse(frame) else { return self.hands.malformed() };
        let fate = match self.fragments.received(workload, &fragment, asked, now) {
            Ok(Some(message)) => {
                let from = (SocketAddr::new(fragment.source, DNS), Protocol::UDP);
                self.hands.message(workload, from, &message, now)
            }
            Ok(None) => Fate::GoesOn,
            Err(stray) => self.hands.stray(workload, stray, now),
        };
        // What went before of it is there already: without this piece it is no answer.
        if fate == Fate::Refused { Fate::Ends } else { fate }
    }

    fn segment(&mut self, workload: WorkloadIndex, frame: &[u8], now: Duration) -> Fate {
        let Ok(segment) = TcpFrame::parse(frame) else { return self.hands.malformed() };
        let from = (segment.source, Protocol::TCP);
        let mut fate = Fate::GoesOn;
        let each = |message: &[u8]| {
            if self.hands.message(workload, from, message, now) == Fate::Refused {
                fate = Fate::Refused;
            }
        };
        // The last words of a connection that is forgotten already teach nothing, and need not.
        match self.connections.received(workload, &segment, now, each) {
            Err(stray) if !segment.payload.is_empty() && fate == Fate::GoesOn => {
                self.hands.stray(workload, stray, now)
            }
            _ => fate,
        }
    }
}

impl Hands {
    /// When this returns, what `message` says is bound, unless it is refused.
    fn message(
        &self,
        workload: WorkloadIndex,
        from: (SocketAddr, Protocol),
        message: &[u8],
        now: Duration,
    ) -> Fate {
        if let Some(said) = self.lookups.judge(workload, message, now) {
            let is_refused = is_refused(&said.1);
            lookups::record(&self.node, workload, from, said, message.len());
            if is_refused {
                return Fate::Refused;
            }
        }
        self.learn(workload, message, now);
        self.lookups.tell(workload, message);
        Fate::GoesOn
    }

    /// The programs have learned it already, and it went on.
    fn learned(&self, workload: WorkloadIndex, message: &[u8], now: Duration) {
        self.learn(workload, message, now);
        self.lookups.tell(workload, message);
    }

    fn learn(&self, workload: WorkloadIndex, message: &[u8], now: Duration) {
        let Ok(answer) = dns::parse(message) else { return self.lessons.malformed.add() };
        let mut binder = self.binder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = binder.learn(workload, &answer, now) {
            warn!("the addresses of {} stay denied: {error}", answer.question);
        }
    }

    fn malformed(&self) -> Fate {
        self.lessons.malformed.add();
        Fate::GoesOn
    }

    /// What cannot be told goes on; but not to a workload that is refused something, which might be in it.
    fn stray(&self, workload: WorkloadIndex, stray: Stray, now: Duration) -> Fate {
        self.lessons.count(stray);
        if self.lookups.refuses(workload, now) { Fate::Refused } else { Fate::GoesOn }
    }
}

fn is_refused(verdicts: &Verdicts) -> bool {
    verdicts.applied.action == Action::Deny
}

fn offload(merged: Merged) -> crate::kernel::gate::Offload {
    crate::kernel::gate::Offload { v6: merged.v6, transport: merged.transport, data: merged.data }
}
