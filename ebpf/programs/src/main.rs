//! The hooks and the steps behind them. Each finds its workload and does what `egret-decide` says.
//!
//! `from_pod`: ingress on the host side of a workload's interface pair; `stand_in`: its double. `to_pod`: the shared half
//! of the doors, two for each workload: ingress on its own device, and egress on the host side; where there is no tcx,
//! `host_door` is the door of all, egress on the host side.
//! `judge4`, `judge6`, `query`, `reset`, `unreachable`, `answer`, `cut4`, `cut6`, `segment`, `piece`, `settle4`, `settle6`,
//! `fragment4`, `fragment6`, `train`, `link4`, `link6`, `arp`, `consult4`, `consult6`, `learn`, `records`, `bind`: steps behind them, called through
//! STEPS. `hold_answer`, `copy_asking`, `hold_packet4`, `hold_packet6`: called through HOLD while the agent lives.
//! `teach`: run by the agent alone. `node_door`: ingress of the node's devices, where others may deliver past the doors.
//! `gate_in` (or `host_gate_in`), `gate_out`: ingress and egress of the agent's TAP device.
#![no_std]
#![feature(asm_experimental_arch)]
#![no_main]

mod consult;
mod hold;
mod kernel;
mod learn;
mod maps;
mod packet;
mod passing;
mod refuse;
mod steps;

use aya_ebpf::{macros::classifier, programs::TcContext};
use egret_abi::{AT_HOST, Carried, Counter, Flow4Key, Flow6Key, IFACES_MAX, PROBE, WorkloadIndex};
use egret_decide::{
    Egress, Exchange, FlowKey, Ingress, Segment, Tables,
    egress::{self, Onward, Pending, Pieced, Train, Verdict},
    inbound::InboundKey,
    ingress::{self, Piece},
    parse::fragment,
    probe::{self, Way},
};

use crate::{kernel::Kernel, packet::Frame, steps::Step};

/// `TCX_NEXT`: the next program decides; a plain pass would silence the programs of others.
const NEXT: i32 = -1;
/// `TCX_DROP`.
const DROP: i32 = 2;

#[classifier]
pub fn from_pod(ctx: TcContext) -> i32 {
    look(&ctx)
}

/// The same again, for the moment in which `from_pod` is put first: one hook takes no program twice.
#[classifier]
pub fn stand_in(ctx: TcContext) -> i32 {
    look(&ctx)
}

#[inline(always)]
fn look(ctx: &TcContext) -> i32 {
    hold::note_release(ctx);
    let Some(workload) = workload_of(ctx) else { return NEXT };
    if egress::glance(&Kernel, &Frame(ctx), workload, ethertype(ctx), &Glanced { ctx, workload }) {
        NEXT
    } else {
        DROP
    }
}

/// A packet that the first look did not settle.
struct Glanced<'a> {
    ctx: &'a TcContext,
    workload: WorkloadIndex,
}

impl egress::Steps for Glanced<'_> {
    #[inline(always)]
    fn go(&self, onward: Onward) {
        let Self { ctx, workload } = *self;
        match onward {
            Onward::Judge4(pending) => steps::go(ctx, Step::Judge4, pending),
            Onward::Judge6(pending) => steps::go(ctx, Step::Judge6, pending),
            Onward::Fragment4 => steps::go(ctx, Step::Fragment4, workload),
            Onward::Fragment6 => steps::go(ctx, Step::Fragment6, workload),
            Onward::Link4(pending) => steps::go(ctx, Step::Link4, pending),
            Onward::Link6(pending) => steps::go(ctx, Step::Link6, pending),
            Onward::Arp => steps::go(ctx, Step::Arp, workload),
        }
    }
}

#[classifier]
pub fn fragment4(ctx: TcContext) -> i32 {
    fragment(&ctx, Step::Judge4, fragment::fragment4(&Frame(&ctx)))
}

#[classifier]
pub fn fragment6(ctx: TcContext) -> i32 {
    fragment(&ctx, Step::Judge6, fragment::fragment6(&Frame(&ctx)))
}

#[inline(always)]
fn fragment<K: InboundKey>(ctx: &TcContext, judge: Step, piece: fragment::Piece<K>) -> i32 {
    let Some(&workload) = steps::handed::<WorkloadIndex>() else { return DROP };
    if egress::fragment(&Kernel, &Frame(ctx), workload, piece, &Cut { ctx, judge }) { NEXT } else { DROP }
}

/// A piece of a packet that does not just pass.
struct Cut<'a> {
    ctx: &'a TcContext,
    judge: Step,
}

impl<K: Copy> egress::PieceSteps<K> for Cut<'_> {
    #[inline(always)]
    fn go(&self, pieced: Pieced<K>) {
        match pieced {
            Pieced::Followed(train) => steps::go(self.ctx, Step::Train, train),
            Pieced::Judge(pending) => steps::go(self.ctx, self.judge, pending),
        }
    }
}

#[classifier]
pub fn train(_ctx: TcContext) -> i32 {
    if let Some(train) = steps::handed::<Train>() {
        egress::remember_train(&Kernel, train);
    }
    NEXT
}

#[classifier]
pub fn link4(ctx: TcContext) -> i32 {
    link::<Flow4Key>(&ctx)
}

#[classifier]
pub fn link6(ctx: TcContext) -> i32 {
    link::<Flow6Key>(&ctx)
}

#[inline(always)]
fn link<K: FlowKey + 'static>(ctx: &TcContext) -> i32 {
    let Some(pending) = steps::handed::<Pending<K>>() else { return DROP };
    if egress::link(&Kernel, &Frame(ctx), pending) == Egress::Pass { NEXT } else { DROP }
}

#[classifier]
pub fn arp(ctx: TcContext) -> i32 {
    let Some(&workload) = steps::handed::<WorkloadIndex>() else { return DROP };
    if egress::arp(&Kernel, &Frame(&ctx), workload) == Egress::Pass { NEXT } else { DROP }
}

#[classifier]
pub fn judge4(ctx: TcContext) -> i32 {
    judge::<Flow4Key>(&ctx)
}

#[classifier]
pub fn judge6(ctx: TcContext) -> i32 {
    judge::<Flow6Key>(&ctx)
}

#[inline(always)]
fn judge<K: InboundKey + 'static>(ctx: &TcContext) -> i32 {
    let Some(pending) = steps::handed::<Pending<K>>() else { return DROP };
    match egress::judge(&Kernel, &Frame(ctx), pending) {
        Verdict::Act(egress) => return act(ctx, pending, egress),
        Verdict::Settle => steps::go_on(ctx, if K::V6 { Step::Settle6 } else { Step::Settle4 }),
        Verdict::Query(exchange) => steps::go(ctx, Step::Query, exchange),
        Verdict::Asking(segment) => {
            if segment.speaks(&Frame(ctx)) {
                hold::ask_agent(ctx, hold::COPY, segment.workload, Carried::Asking);
                Kernel.count(Counter::AskingUnnoted);
            }
            return NEXT;
        }
    }
    DROP
}

#[classifier]
pub fn settle4(ctx: TcContext) -> i32 {
    settle::<Flow4Key>(&ctx)
}

#[classifier]
pub fn settle6(ctx: TcContext) -> i32 {
    settle::<Flow6Key>(&ctx)
}

#[inline(always)]
fn settle<K: InboundKey + 'static>(ctx: &TcContext) -> i32 {
    let Some(pending) = steps::handed::<Pending<K>>() else { return DROP };
    match egress::settle(&Kernel, &Frame(ctx), pending) {
        Some(egress) => return act(ctx, pending, egress),
        None => steps::go_on(ctx, if K::V6 { Step::Consult6 } else { Step::Consult4 }),
    }
    DROP
}

#[inline(always)]
fn act<K: InboundKey>(ctx: &TcContext, pending: &Pending<K>, egress: Egress) -> i32 {
    match egress {
        Egress::Pass if pending.is_followed() => {
            steps::go(ctx, Step::Train, Train::of(pending, false, Kernel.now()));
        }
        Egress::Pass => return NEXT,
        Egress::Drop => {}
        Egress::Reset { transport } => steps::go(ctx, Step::Reset, transport),
        Egress::Cut { transport } => steps::go(ctx, if K::V6 { Step::Cut6 } else { Step::Cut4 }, transport),
        Egress::Unreachable { transport } => steps::go(ctx, Step::Unreachable, transport),
    }
    DROP
}

#[classifier]
pub fn query(ctx: TcContext) -> i32 {
    if let Some(exchange) = steps::handed::<Exchange>() {
        egress::remember_query(&Kernel, &Frame(&ctx), exchange);
    }
    NEXT
}

#[classifier]
pub fn reset(ctx: TcContext) -> i32 {
    refuse::reset(&ctx)
}

#[classifier]
pub fn cut4(ctx: TcContext) -> i32 {
    refuse::cut4(&ctx)
}

#[classifier]
pub fn cut6(ctx: TcContext) -> i32 {
    refuse::cut6(&ctx)
}

#[classifier]
pub fn unreachable(ctx: TcContext) -> i32 {
    refuse::unreachable(&ctx)
}

#[classifier]
pub fn to_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context; volatile, or the compiler makes an access that the verifier refuses.
    let (mark, workload, door) =
        unsafe { (core::ptr::read_volatile(&raw const (*skb).mark), (*skb).cb[0], (*skb).cb[1]) };
    if mark != 0 && mark == Kernel.config().mark {
        // SAFETY: as above. The mark has done its work, and is nobody else's business.
        unsafe { core::ptr::write_volatile(&raw mut (*skb).mark, 0) };
        return if is_probe(&ctx, WorkloadIndex(workload)) { DROP } else { NEXT };
    }
    if !ingress::is_watched(&Kernel, door, || passing::is_noted(&ctx)) {
        return NEXT;
    }
    if door == AT_HOST {
        passing::forget();
    }
    match egret_decide::to_pod(&Kernel, &Frame(&ctx), WorkloadIndex(workload), ethertype(&ctx)) {
        Ingress::Pass => {}
        Ingress::Answer(exchange) => steps::go(&ctx, Step::Answer, exchange),
        Ingress::Segment(segment) => steps::go(&ctx, Step::Segment, segment),
        Ingress::Piece(workload) => steps::go(&ctx, Step::Piece, workload),
    }
    NEXT
}

/// The one door of all workloads in tier 2, on the host side: the workload is that of the interface.
#[classifier]
pub fn host_door(ctx: TcContext) -> i32 {
    let Some(workload) = workload_of(&ctx) else { return NEXT };
    // SAFETY: the context; cb is writable by classifiers and kept across a tail call.
    unsafe {
        (*ctx.skb.skb).cb[0] = workload.0;
        (*ctx.skb.skb).cb[1] = AT_HOST;
    }
    // SAFETY: TO_POD holds classifiers only; where it is empty the call falls through.
    let _ = unsafe { maps::TO_POD.tail_call(&ctx, 0) };
    NEXT
}

#[classifier]
pub fn answer(ctx: TcContext) -> i32 {
    let Some(exchange) = steps::handed::<Exchange>() else { return NEXT };
    if ingress::is_asked_for(&Kernel, &Frame(&ctx), exchange) {
        steps::go(&ctx, Step::Learn, *exchange);
    }
    NEXT
}

#[classifier]
pub fn learn(ctx: TcContext) -> i32 {
    learn::question(&ctx)
}

#[classifier]
pub fn records(ctx: TcContext) -> i32 {
    learn::records(&ctx)
}

#[classifier]
pub fn bind(ctx: TcContext) -> i32 {
    learn::bind(&ctx)
}

#[classifier]
pub fn teach(ctx: TcContext) -> i32 {
    learn::teach(&ctx)
}

#[classifier]
pub fn segment(ctx: TcContext) -> i32 {
    let Some(segment) = steps::handed::<Segment>() else { return NEXT };
    if segment.speaks(&Frame(&ctx)) {
        hold::ask_agent(&ctx, hold::HOLD, segment.workload, Carried::Segment);
        Kernel.count(Counter::AnswersUnlearned);
    }
    NEXT
}

#[classifier]
pub fn piece(ctx: TcContext) -> i32 {
    let Some(workload) = steps::handed::<WorkloadIndex>() else { return NEXT };
    let workload = *workload;
    let carried = match ingress::piece(&Frame(&ctx), workload, ethertype(&ctx)) {
        Piece::First(exchange) if ingress::is_asked_for(&Kernel, &Frame(&ctx), &exchange) => {
            Carried::Datagram
        }
        Piece::Later => Carried::Piece,
        Piece::First(_) | Piece::Other => return NEXT,
    };
    hold::ask_agent(&ctx, hold::HOLD, workload, carried);
    Kernel.count(Counter::AnswersUnlearned);
    NEXT
}

#[classifier]
pub fn hold_answer(ctx: TcContext) -> i32 {
    hold::hold_answer(&ctx)
}

#[classifier]
pub fn copy_asking(ctx: TcContext) -> i32 {
    hold::copy_asking(&ctx)
}

#[classifier]
pub fn gate_in(ctx: TcContext) -> i32 {
    // A released answer needs no look any more. A probe is for the door that looks.
    let to_host = ethertype(&ctx) == PROBE && Kernel.config().door == AT_HOST;
    hold::release(&ctx, if to_host { hold::To::Host } else { hold::To::Pod })
}

/// `gate_in` of tier 2: what was held at the host side goes on there.
#[classifier]
pub fn host_gate_in(ctx: TcContext) -> i32 {
    hold::release(&ctx, hold::To::Host)
}

/// Lets packets that go on hold through to the agent: what a process with a raw socket puts here ends here.
#[classifier]
pub fn gate_out(ctx: TcContext) -> i32 {
    hold::pass_gate(&ctx)
}

/// Whether what the agent sent to a workload was no answer but its probe.
#[inline(always)]
fn is_probe(ctx: &TcContext, workload: WorkloadIndex) -> bool {
    ethertype(ctx) == PROBE && probe::is_awaited(&Kernel, &Frame(ctx), workload, Way::Into)
}

#[inline(always)]
fn workload_of(ctx: &TcContext) -> Option<WorkloadIndex> {
    // SAFETY: the context.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let workload = if ifindex < IFACES_MAX {
        *maps::IFACES.get(ifindex)?
    } else {
        // SAFETY: a number, copied at once.
        *unsafe { maps::IFACES_FAR.get(ifindex) }?
    };
    (workload != 0).then_some(WorkloadIndex(workload))
}

/// The ethertype behind any hardware VLAN tag, in host order.
#[inline(always)]
fn ethertype(ctx: &TcContext) -> u16 {
    // SAFETY: the context.
    u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
