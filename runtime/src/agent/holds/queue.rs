//! Packets on hold, by the question that they wait for. Pure: no clock, no gate.

use std::collections::HashMap;
use std::time::Duration;

use egret_abi::WorkloadIndex;

use super::question::Question;

/// How much may wait at one time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all workloads together.
    pub total: usize,
    /// Bytes of one workload.
    pub workload: usize,
    /// Packets of one workload: others need tickets too.
    pub packets: usize,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Place<P> {
    /// It is the first with its question: somebody must answer that.
    First,
    /// It waits behind others, and goes on with them.
    Behind,
    /// There is no room.
    Full(P),
}

/// What of one workload waits.
#[derive(Default)]
struct Share {
    packets: usize,
    bytes: usize,
}

struct Entry<P> {
    packets: Vec<P>,
    bytes: usize,
    since: Duration,
}

/// Packets that wait. `P` is a packet.
pub struct Queue<P> {
    entries: HashMap<Question, Entry<P>>,
    own: HashMap<WorkloadIndex, Share>,
    total: usize,
    bounds: Bounds,
}

impl<P> Queue<P> {
    /// An empty one.
    pub fn new(bounds: Bounds) -> Self {
        Self { entries: HashMap::new(), own: HashMap::new(), total: 0, bounds }
    }

    /// Adds a packet of `bytes` bytes that came at `now`.
    pub fn add(&mut self, question: Question, packet: P, bytes: usize, now: Duration) -> Place<P> {
        let own = self.own.entry(question.workload).or_default();
        let is_full = own.packets >= self.bounds.packets || own.bytes + bytes > self.bounds.workload;
        if is_full || self.total + bytes > self.bounds.total {
            return Place::Full(packet);
        }
        own.packets += 1;
        own.bytes += bytes;
        self.total += bytes;
        match self.entries.get_mut(&question) {
            Some(entry) => {
                entry.packets.push(packet);
                entry.bytes += bytes;
                Place::Behind
            }
            None => {
                self.entries.insert(question, Entry { packets: vec![packet], bytes, since: now });
                Place::First
            }
        }
    }

    /// Since when the first packet with this question waits.
    pub fn since(&self, question: &Question) -> Option<Duration> {
        self.entries.get(question).map(|entry| entry.since)
    }

    /// The packets that wait for `question` now, in the order in which they came; others that come meanwhile wait
    /// behind. Empty: nobody waits any more, and the next one is a first again. Who answers a question calls this until
    /// then, and so nothing overtakes.
    pub fn take(&mut self, question: &Question) -> Vec<P> {
        let Some(entry) = self.entries.get_mut(question) else { return Vec::new() };
        if entry.packets.is_empty() {
            self.entries.remove(question);
            return Vec::new();
        }
        let bytes = std::mem::take(&mut entry.bytes);
        self.total -= bytes;
        let packets = std::mem::take(&mut entry.packets);
        if let Some(own) = self.own.get_mut(&question.workload) {
            own.packets -= packets.len();
            own.bytes -= bytes;
            if own.packets == 0 {
                self.own.remove(&question.workload);
            }
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use egret_abi::VerdictKey;

    use super::*;

    const BOUNDS: Bounds = Bounds { total: 100, workload: 60, packets: 100 };

    fn question(workload: u32, port: u8) -> Question {
        let key = VerdictKey { remote_port: [0, port], ..VerdictKey::default() };
        Question { workload: WorkloadIndex(workload), key }
    }

    fn add(queue: &mut Queue<u8>, question: Question, packet: u8) -> Place<u8> {
        queue.add(question, packet, 10, Duration::ZERO)
    }

    #[test]
    fn equal_questions_are_asked_once_and_their_packets_keep_their_order() {
        let mut queue = Queue::new(BOUNDS);
        let question = question(1, 80);
        assert_eq!(add(&mut queue, question, 1), Place::First);
        assert_eq!(add(&mut queue, question, 2), Place::Behind);
        assert_eq!(queue.take(&question), [1, 2]);
        // While the answer is on its way, others still wait behind.
        assert_eq!(add(&mut queue, question, 3), Place::Behind);
        assert_eq!(queue.take(&question), [3]);
        assert_eq!(queue.take(&question), [0; 0]);
        assert_eq!(add(&mut queue, question, 4), Place::First);
    }

    #[test]
    fn a_workload_that_fills_its_share_leaves_room_for_others() {
        let mut queue = Queue::new(BOUNDS);
        let (greedy, other) = (question(1, 80), question(2, 80));
        let placed: Vec<_> = (0..7).map(|packet| add(&mut queue, greedy, packet)).collect();
        assert_eq!(placed.last(), Some(&Place::Full(6)));
        assert_eq!(placed.iter().filter(|place| matches!(place, Place::Full(_))).count(), 1);
        assert_eq!(
            (0..5).filter(|packet| add(&mut queue, other, *packet) == Place::Full(*packet)).count(),
            1
        );
        assert_eq!(queue.take(&greedy).len(), 6);
        assert_eq!(add(&mut queue, greedy, 9), Place::Behind);
    }
}
