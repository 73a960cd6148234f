//! Frames that a workload with NET_RAW alone makes by hand, past its device's queue and under marks of all sorts: they are
//! judged like any other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Result, ensure};
use aya::maps::{Array, Map, MapData};
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Setup, World, enforced};

use super::{EVIL, udp};

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
/// A second of the attackers' patience is worth little here: whatever passes takes microseconds.
const SILENCE: Duration = Duration::from_millis(200);

/// Marks by which others let packets through: of kube-proxy, Calico, Cilium, the AWS CNI and Istio.
const MARKS: [u32; 12] =
    [0, 1, 0x4000, 0x8000, 0x1_0000, 0x8_0000, 0x0200, 0x0a00, 0x0e00, 0x0f00, 0x80, 0x539];

/// The mark that Egret knows its own packets by. Whoever taps a device with a released answer on it may read it.
pub(super) fn own_mark(world: &World) -> Result<u32> {
    let map = Map::from_map_data(MapData::from_pin(world.pins()?.join("maps/CONFIG"))?)?;
    let config: Array<MapData, [u8; 60]> = map.try_into()?;
    let [a, b, c, d, ..] = config.get(&0, 0)?;
    let mark = u32::from_ne_bytes([a, b, c, d]);
    ensure!(mark != 0, "a mark is never 0");
    Ok(mark)
}

/// How many datagrams come in until it is silent.
fn arrived(receiver: &UdpSocket) -> Result<usize> {
    receiver.set_read_timeout(Some(SILENCE))?;
    Ok(std::iter::from_fn(|| receiver.recv_from(&mut [0; 64]).ok()).count())
}

#[test]
fn a_frame_past_the_queue_and_under_any_mark_is_judged_like_any_other() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/other"])?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    let (good, evil): (SocketAddr, SocketAddr) = ((GOOD, 9999).into(), (EVIL, 9999).into());
    let (at_good, at_evil) = (udp(&world, good)?, udp(&world, evil)?);
    let gateway = world.node().link_address(web.host_interface())?;
    let frame = |source: IpAddr, to: SocketAddr| {
        Frame::to("eth0", gateway, &datagram((source, 5000).into(), to, b"by hand"))
    };
    let own = web.addresses()[0];
    let strangers = [other.addresses()[0], IpAddr::from(Ipv4Addr::new(198, 51, 100, 9))];
    let both = |frame: &Frame| [frame.clone(), frame.clone().bypassing()];
    let send = |frame: Frame| both(&frame).iter().try_for_each(|frame| frame.send(web.netns()));
    for source in [own, strangers[0], strangers[1]] {
        send(frame(source, evil))?;
    }
    assert_eq!(arrived(&at_evil)?, 6, "without an agent all arrive");

    let rules = format!("allow:\n- to: [{{cidr: {GOOD}/32}}]");
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules))?.start()?;
    let mark = own_mark(&world)?;
    for mark in MARKS.into_iter().chain([mark, mark & 0xffff, u32::MAX]) {
        send(frame(own, good).marked(mark))?;
        send(frame(own, evil).marked(mark))?;
        for source in strangers {
            send(frame(source, good).marked(mark))?;
        }
    }
    assert_eq!(arrived(&at_evil)?, 0, "what is denied");
    assert_eq!(arrived(&at_good)?, 2 * (MARKS.len() + 3), "what is allowed, from its own address alone");
    Ok(())
}
