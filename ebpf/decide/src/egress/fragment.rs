//! Pieces of packets: the first is judged, and where it goes on, the others follow it.

use egret_abi::{Counter, Fragment, FragmentKey, Generation, OwnKey, REASSEMBLY, Tick, WorkloadIndex};

use super::Pending;
use super::glance::look;
use crate::Tables;
use crate::inbound::{self, InboundKey};
use crate::parse::fragment::Piece;
use crate::parse::{FlowKey, Packet};

/// Where a piece goes that does not just pass; see [`super::Steps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieced<K> {
    /// To be remembered by [`remember_train`], for others may follow; then it passes.
    Followed(Train),
    /// To be judged by [`super::judge()`].
    Judge(Pending<K>),
}

/// Takes pieces onward; see [`super::Steps`].
pub trait PieceSteps<K> {
    /// Takes the piece there.
    fn go(&self, pieced: Pieced<K>);
}

/// What is remembered of a first piece, on its way to a step of its own; see [`Pending`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Train {
    /// Who sent it.
    pub workload: WorkloadIndex,
    /// What all pieces have in common.
    pub key: FragmentKey,
    /// What holds for those that follow.
    pub fragment: Fragment,
}

impl Train {
    /// What is remembered of `pending`; `answer`: it answers somebody.
    #[inline(always)]
    pub fn of<K: FlowKey>(pending: &Pending<K>, answer: bool, now: Tick) -> Self {
        let fragment = Fragment {
            epoch: pending.generation.epoch(),
            until: now.plus(REASSEMBLY),
            guarded: pending.guarded,
            answer: answer as u32,
        };
        Self { workload: pending.workload, key: pending.key.train(pending.id), fragment }
    }
}

/// Looks at a piece of a packet. True: it follows its first, or its flow is known, and it goes on; else it went
/// onward by `steps`.
#[inline(always)]
pub fn fragment<T: Tables, P: Packet, K: InboundKey>(
    tables: &T,
    packet: &P,
    workload: WorkloadIndex,
    piece: Piece<K>,
    steps: &impl PieceSteps<K>,
) -> bool {
    let Some(generation) = tables.generation(workload) else { return true };
    match piece {
        Piece::Whole(headers) => {
            let judge = |pending| steps.go(Pieced::Judge(pending));
            return look(tables, packet, workload, generation, &headers, judge);
        }
        Piece::First { headers, id, guarded } => {
            let judge = |pending| steps.go(Pieced::Judge(Pending { id, guarded, ..pending }));
            if look(tables, packet, workload, generation, &headers, judge) {
                let pending = Pending { id, guarded, ..Pending::of(generation, workload, &headers) };
                let answer = inbound::is_answered(tables, workload, &headers.key);
                steps.go(Pieced::Followed(Train::of(&pending, answer, tables.now())));
            }
        }
        Piece::Later { key, id, at } if follows(tables, workload, generation, &key, (id, at)) => return true,
        Piece::Later { key, .. } | Piece::Unreadable(key) => {
            steps.go(Pieced::Judge(Pending::unreadable(generation, workload, key)));
        }
    }
    false
}

/// Whether its first went on under the policy of now, or answers somebody; and nothing that was judged is written
/// over. Its source is asked for again: the address may be another's by now.
#[inline(always)]
fn follows<T: Tables, K: FlowKey>(
    tables: &T,
    workload: WorkloadIndex,
    generation: Generation,
    key: &K,
    (id, at): (u32, u32),
) -> bool {
    let Some(first) = tables.fragment(workload, &key.train(id)) else { return false };
    let stands = first.epoch == generation.epoch() || first.answer != 0;
    stands
        && tables.now() < first.until
        && at >= first.guarded
        && tables.owns(&OwnKey { workload, address: key.local() })
}

/// Remembers a first piece, so that the others may follow.
#[inline(always)]
pub fn remember_train<T: Tables>(tables: &T, train: &Train) {
    if !tables.remember_fragment(train.workload, &train.key, &train.fragment) {
        tables.count(Counter::FragmentsFull);
    }
}
