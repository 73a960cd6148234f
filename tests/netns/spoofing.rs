//! A source that is not the workload's own goes nowhere, whether a policy selects the workload or not.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::Result;
use egret_tests::raw::send_udp_as;
use egret_tests::{Pod, Setup, World, enforced};

/// Sends one datagram from `pod` with `source`, and tells whether the internet got it.
fn arrives(world: &World, pod: &Pod, source: IpAddr, to: SocketAddr) -> Result<bool> {
    let receiver = world.internet().run(|| UdpSocket::bind(to))??;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    send_udp_as(pod.netns(), SocketAddr::new(source, 5000), to, b"whose?")?;
    let mut buffer = [0; 64];
    Ok(receiver.recv_from(&mut buffer).is_ok_and(|(_, from)| from.ip() == source))
}

#[test]
fn a_packet_with_another_s_source_is_dropped_and_one_with_its_own_is_not() -> Result<()> {
    let world = World::with_pods(&["shop/web", "shop/unmanaged", "shop/neighbour"])?;
    let neighbour = world.pod("shop/neighbour").addresses();
    let stranger = ["198.51.100.9".parse::<IpAddr>()?, "2001:db8:9::9".parse()?];
    let to: [SocketAddr; 2] = ["192.0.2.99:9999".parse()?, "[2001:db8::99]:9999".parse()?];
    let senders = [world.pod("shop/web"), world.pod("shop/unmanaged")];
    for pod in senders {
        for (family, to) in to.into_iter().enumerate() {
            for source in [pod.addresses()[family], neighbour[family], stranger[family]] {
                assert!(
                    arrives(&world, pod, source, to)?,
                    "without an agent {source} arrives from {}",
                    pod.id()
                );
            }
        }
    }
    let rules = "allow:\n- to: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]";
    let _agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", rules))?.start()?;
    for pod in senders {
        for (family, to) in to.into_iter().enumerate() {
            assert!(arrives(&world, pod, pod.addresses()[family], to)?, "{} as itself", pod.id());
            for source in [neighbour[family], stranger[family]] {
                assert!(!arrives(&world, pod, source, to)?, "{} as {source}", pod.id());
            }
        }
    }
    Ok(())
}
