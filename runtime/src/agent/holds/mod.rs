//! Packets on hold: read from the gate, asked about, put back once their verdict is in the kernel.
//!
//! Some threads wait at the gate, and each packet wakes one that does: it reads, gives the packet its place ([`queue`]) and
//! answers itself ([`judge`]), if it is the first with its question. So there is no hand-over between threads on the way of
//! a packet. A workload whose modules are slow is answered by threads aside. A verdict is written
//! first, then all packets that wait for it go back in their order, and their hook judges them again.

mod aside;
mod case;
mod judge;
mod processors;
mod question;
mod queue;

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use egret_abi::VerdictKey;
use rustix::process::setpriority_process;
use tracing::{error, warn};

pub use case::Case;
pub use judge::Judge;

use self::processors::Processors;
use self::question::{Question, key_of};
use self::queue::{Bounds, Place, Queue};
use crate::kernel::gate::{FRAME_MAX, HeldPacket};
use crate::kernel::rings::{Stop, Waiter};
use crate::kernel::{Gate, clock};

/// Threads that wait at the gate.
pub const READERS: usize = 2;
/// Threads aside: as many, for each reader ends one of them.
pub const ASIDE: usize = READERS;
/// How long a packet waits for a verdict at most; then the failure policy counts.
const DEADLINE: Duration = Duration::from_secs(1);
/// Bytes of packets that wait at one time.
const BOUNDS: Bounds = Bounds { total: 128 << 20, workload: 32 << 20, packets: 16_384 };
/// Questions that wait for the threads aside.
const WAITING: usize = 8192;
/// The niceness of threads that run what is slow.
pub const BEHIND: i32 = 10;
/// What a packet costs besides its bytes.
const OVERHEAD: usize = 96;

struct Waiting {
    packet: HeldPacket,
    local: [u8; 2],
    since: Duration,
}

/// What is asked aside, with the workload's own port; `None`: it is over.
type Aside = Option<(Question, [u8; 2])>;

/// What all threads of the hold share.
pub struct Holds {
    gate: Arc<Gate>,
    judge: Arc<Judge>,
    stop: Stop,
    /// Reading and giving a place are one step, for packets keep their order.
    turn: Mutex<Vec<u8>>,
    queue: Mutex<Queue<Waiting>>,
    processors: Processors,
    aside: SyncSender<Aside>,
    asked_aside: Mutex<Receiver<Aside>>,
}

impl Holds {
    /// Nothing on hold yet.
    pub fn new(gate: Arc<Gate>, judge: Arc<Judge>, stop: Stop) -> Self {
        let (aside, asked_aside) = sync_channel(WAITING);
        Self {
            gate,
            judge,
            stop,
            turn: Mutex::new(vec![0; FRAME_MAX]),
            queue: Mutex::new(Queue::new(BOUNDS)),
            processors: Processors::new(),
            aside,
            asked_aside: Mutex::new(asked_aside),
        }
    }

    /// Serves the gate until the stop is called, then ends one thread aside: behind all that this one asked it.
    pub fn serve(&self) {
        self.read();
        let _ = self.aside.send(None);
    }

    fn read(&self) {
        let waiter = match self.stop.waiter_with(&*self.gate) {
            Ok(waiter) => waiter,
            Err(error) => return error!("packets cannot be waited for: {error}"),
        };
        loop {
            match self.next(&waiter) {
                Ok(Some(first)) => self.ask(first),
                Ok(None) => {}
                Err(Ended) => return,
            }
        }
    }

    /// Answers those that are slow, until a reader ends; behind the threads that answer the others, which would else wait for
    /// a processor.
    pub fn serve_aside(&self) {
        let _ = setpriority_process(None, BEHIND);
        loop {
            let asked = self.asked_aside.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match asked {
                Ok(Some((question, local))) => self.settle(question, local),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Reads one packet and gives it its place; the question, where it is the first with it.
    fn next(&self, waiter: &Waiter) -> Result<Option<(Question, [u8; 2])>, Ended> {
        let mut buffer = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let packet = match self.gate.take(&mut buffer) {
            Ok(Some(packet)) => packet,
            Ok(None) => {
                drop(buffer);
                return if waiter.wait() { Err(Ended) } else { Ok(None) };
            }
            Err(error) => {
                error!("packets cannot be read from the gate any more: {error}");
                return Err(Ended);
            }
        };
        let Some(key) = key_of(packet.frame()) else {
            // Nobody put it there as it is; its hook says what it is.
            self.put_back(&packet);
            return Ok(None);
        };
        let (question, local) = (self.judge.question(packet.workload, key), key.local_port);
        let bytes = packet.frame().len() + OVERHEAD;
        let since = clock::now();
        let place = self.queue().add(question, Waiting { packet, local, since }, bytes, since);
        drop(buffer);
        match place {
            Place::First => Ok(Some((question, local))),
            Place::Behind => Ok(None),
            Place::Full(waiting) => {
                self.judge.give_up(&Question { key, ..question }, local);
                self.put_back(&waiting.packet);
                Ok(None)
            }
        }
    }

    fn ask(&self, (question, local): (Question, [u8; 2])) {
        if self.judge.is_slow(question.workload) {
            match self.aside.try_send(Some((question, local))) {
                Ok(()) => return,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    self.judge.give_up(&question, local);
                    return self.release(question, None);
                }
            }
        }
        self.settle(question, local);
    }

    /// Answers, then lets go all that wait for it.
    fn settle(&self, question: Question, local: [u8; 2]) {
        let since = self.queue().since(&question).unwrap_or_default();
        if is_late(since) {
            self.judge.give_up(&question, local);
            return self.release(question, None);
        }
        let alone = self.judge.answer(&question, local);
        self.release(question, alone.then_some(local));
        self.judge.tidy(question.workload);
    }

    /// Puts back all packets with a question, in their order. `known`: the one flow that the answer is about; others are
    /// asked about first.
    fn release(&self, question: Question, known: Option<[u8; 2]>) {
        let mut known = known.map(|local| HashSet::from([local]));
        let mut stay = self.processors.anywhere();
        loop {
            let waiting = self.queue().take(&question);
            if waiting.is_empty() {
                return;
            }
            if let [Waiting { packet, .. }, _, ..] = &waiting[..] {
                stay.at(packet.processor.into());
            }
            for Waiting { packet, local, since } in waiting {
                let alone = Question { key: VerdictKey { local_port: local, ..question.key }, ..question };
                if let Some(known) = &mut known
                    && known.insert(local)
                {
                    match is_late(since) {
                        true => self.judge.give_up(&alone, local),
                        false => drop(self.judge.answer(&alone, local)),
                    }
                }
                stay.with(alone);
                self.put_back(&packet);
            }
        }
    }

    fn put_back(&self, packet: &HeldPacket) {
        if let Err(error) = self.gate.put_back(packet) {
            warn!("a packet is lost: the gate refused it: {error}");
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_late(since: Duration) -> bool {
    clock::now().saturating_sub(since) > DEADLINE
}

/// The hold is over.
struct Ended;
