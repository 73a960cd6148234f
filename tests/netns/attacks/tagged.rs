//! Frames of a workload with VLAN tags in them. Number 0 is a priority and no VLAN: the kernel takes such a tag off and
//! goes on, also off a second one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Agent, Pod, Setup, World, enforced};

use super::{EVIL, counter, udp};

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const TAG: (u16, u16) = (0x8100, 0);
const SERVICE_TAG: (u16, u16) = (0x88a8, 0);
const NONE: [(u16, u16); 0] = [];

/// Whether the internet gets a datagram from `source` to `to`, behind these tags.
fn arrives(world: &World, pod: &Pod, tags: &[(u16, u16)], source: IpAddr, to: SocketAddr) -> Result<bool> {
    let receiver = udp(world, to)?;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let gateway = world.node().link_address(pod.host_interface())?;
    let packet = datagram((source, 5000).into(), to, b"tagged");
    Frame::tagged("eth0", gateway, tags, &packet).send(pod.netns())?;
    Ok(receiver.recv_from(&mut [0; 64]).is_ok())
}

#[test]
fn a_packet_behind_one_tag_is_judged_and_behind_two_it_goes_nowhere() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/other"])?;
    let (web, other) = (world.pod("shop/web"), world.pod("shop/other"));
    let (own, stranger) = (web.addresses()[0], other.addresses()[0]);
    let (good, evil): (SocketAddr, SocketAddr) = ((GOOD, 9999).into(), (EVIL, 9999).into());
    let (one, two, service) = ([TAG], [TAG, TAG], [SERVICE_TAG, TAG]);
    let tags: [&[(u16, u16)]; 4] = [&NONE, &one, &two, &service];
    for tags in tags {
        assert!(arrives(&world, web, tags, own, evil)?, "without an agent {tags:x?} arrives");
    }
    let rules = format!("allow:\n- to: [{{cidr: {GOOD}/32}}]");
    let agent: Agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules))?.start()?;
    for tags in tags {
        let (unparsed, is_read) = (counter(&agent, "unparsed")?, tags.len() < 2);
        assert_eq!(arrives(&world, web, tags, own, good)?, is_read, "{tags:x?}");
        assert!(!arrives(&world, web, tags, own, evil)?, "{tags:x?}");
        assert!(!arrives(&world, web, tags, stranger, good)?, "{tags:x?}");
        assert_eq!(counter(&agent, "unparsed")? > unparsed, !is_read, "{tags:x?}");
    }
    Ok(())
}
