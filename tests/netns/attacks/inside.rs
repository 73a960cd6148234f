//! A workload with NET_ADMIN and NET_RAW puts frames of its own making into its own device, as if they came from the
//! world: past every hook on the node, and through every one inside.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use egret_tests::netns::ip_batch;
use egret_tests::wire::{Frame, datagram};
use egret_tests::{Pod, Seen, Setup, World, enforced};

use super::{Asked, EVIL, REAL, RULES, SLOW, tc, udp};

/// How a frame gets there.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// A filter on the way out of a device of its own redirects it into eth0.
    Redirect,
    /// The same, on eth0 itself.
    RedirectOfItself,
    /// One device on top of eth0 sends it to another: the kernel shows it to eth0 first.
    OnTop,
}

const WAYS: [Way; 3] = [Way::Redirect, Way::RedirectOfItself, Way::OnTop];

impl Way {
    /// Opens it; then what is sent on `.0` to the link address `.1` gets there.
    pub fn open(self, pod: &Pod) -> Result<(&'static str, [u8; 6])> {
        let netns = pod.netns();
        netns.set(&[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/default/rp_filter", "0")])?;
        let redirect = |device: &str, what: &str| -> Result<()> {
            tc(netns, &format!("qdisc add dev {device} clsact"))?;
            tc(
                netns,
                &format!("filter add dev {device} egress {what} action mirred ingress redirect dev eth0"),
            )
        };
        match self {
            Self::Redirect => {
                ip_batch(
                    Some(netns),
                    &["link add d0 type veth peer name d1", "link set d0 up", "link set d1 up"]
                        .map(str::to_owned),
                )?;
                redirect("d0", "protocol all u32 match u32 0 0")?;
                Ok(("d0", netns.link_address("eth0")?))
            }
            Self::RedirectOfItself => {
                // What comes from port 53 or 443, and nothing of its own.
                for (port, preference) in [(53, 1), (443, 2)] {
                    if preference == 1 {
                        tc(netns, "qdisc add dev eth0 clsact")?;
                    }
                    tc(
                        netns,
                        &format!(
                            "filter add dev eth0 egress protocol ip pref {preference} u32 match ip sport {port} \
                             0xffff action mirred ingress redirect dev eth0"
                        ),
                    )?;
                }
                Ok(("eth0", netns.link_address("eth0")?))
            }
            Self::OnTop => {
                ip_batch(
                    Some(netns),
                    &[
                        "link add mv0 link eth0 type macvlan mode bridge",
                        "link add mv1 link eth0 type macvlan mode bridge",
                        "link set mv0 up",
                        "link set mv1 up",
                    ]
                    .map(str::to_owned),
                )?;
                netns.set(&[("ipv4/conf/mv1/rp_filter", "0")])?;
                Ok(("mv0", netns.link_address("mv1")?))
            }
        }
    }
}

fn forge(pod: &Pod, (device, to): (&str, [u8; 6]), packet: &[u8]) -> Result<()> {
    Frame::to(device, to, packet).send(pod.netns())
}

#[test]
fn an_answer_that_a_workload_gives_itself_teaches_nothing() -> Result<()> {
    for way in WAYS {
        let world = World::with_pods(&["shop/web"])?;
        let web = world.pod("shop/web");
        let agent = Setup::new(&world)?
            .policy("web.yaml", &enforced("shop/web", RULES))?
            .trusting(&[SLOW.ip()])
            .start()?;
        let resolver = udp(&world, SLOW)?;
        let place = way.open(web)?;
        for _ in 0..3 {
            let asked = Asked::new(web, &resolver)?;
            let forged = asked.answer(EVIL)?;
            forge(web, place, &datagram(SLOW, asked.from, &forged))?;
            assert_eq!(asked.got()?, forged, "{way:?}: the forged answer arrives");
            assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused, "{way:?}");
            resolver.send_to(&asked.answer(REAL)?, asked.from)?;
            assert_eq!(asked.got()?, asked.answer(REAL)?, "{way:?}: the resolver's own comes after it");
            assert_eq!(web.connect(&EVIL.to_string(), 443)?.seen, Seen::Refused, "{way:?}");
            assert_eq!(web.connect(&REAL.to_string(), 443)?.seen, Seen::Connected, "{way:?}");
        }
        drop(agent);
    }
    Ok(())
}

/// Sends a datagram from port 5000 of `pod` to `to`, and tells whether it got there.
fn answers(pod: &Pod, own: &UdpSocket, to: SocketAddr, receiver: &UdpSocket) -> Result<bool> {
    receiver.set_read_timeout(Some(Duration::from_millis(300)))?;
    // A refusal of the datagram before may be told at this one.
    let _ = own.send_to(b"out", to);
    let mut bytes = [0; 64];
    Ok(receiver
        .recv_from(&mut bytes)
        .is_ok_and(|(_, from)| from == SocketAddr::new(pod.addresses()[0], 5000)))
}

#[test]
fn a_call_that_a_workload_makes_to_itself_in_another_s_name_opens_no_way_out() -> Result<()> {
    let (caller, stranger): (SocketAddr, SocketAddr) =
        ((Ipv4Addr::new(198, 51, 100, 7), 443).into(), (EVIL, 443).into());
    for way in WAYS {
        let world = World::with_pods(&["shop/web"])?;
        let web = world.pod("shop/web");
        let _agent =
            Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", "default: Deny"))?.start()?;
        let here = SocketAddr::new(web.addresses()[0], 5000);
        let own = web.netns().run(|| UdpSocket::bind(here))??;
        own.set_read_timeout(Some(Duration::from_secs(2)))?;
        let (calling, evil) = (udp(&world, caller)?, udp(&world, stranger)?);
        let place = way.open(web)?;
        assert!(!answers(web, &own, stranger, &evil)?, "{way:?}: nobody called");
        let mut bytes = [0; 64];
        forge(web, place, &datagram(stranger, here, b"call"))?;
        loop {
            match own.recv_from(&mut bytes) {
                Ok((length, from)) => {
                    assert_eq!((&bytes[..length], from), (&b"call"[..], stranger), "{way:?}");
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).with_context(|| format!("{way:?}: the forged call arrives")),
            }
        }
        assert!(!answers(web, &own, stranger, &evil)?, "{way:?}: nobody but itself called");
        calling.send_to(b"call", here)?;
        assert_eq!(own.recv_from(&mut bytes)?.1, caller);
        assert!(answers(web, &own, caller, &calling)?, "{way:?}: who did call is answered");
    }
    Ok(())
}

#[test]
fn what_was_seen_coming_in_from_elsewhere_vouches_for_nothing_that_a_workload_makes() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    let _agent = Setup::new(&world)?
        .policy("web.yaml", &enforced("shop/web", RULES))?
        .trusting(&[SLOW.ip()])
        .start()?;
    let (resolver, accomplice) = (udp(&world, SLOW)?, udp(&world, (EVIL, 53).into())?);
    let place = Way::Redirect.open(web)?;
    let listening = web.netns().run(|| UdpSocket::bind("0.0.0.0:5300"))??;
    listening.set_read_timeout(Some(Duration::from_secs(2)))?;
    for round in 0..20 {
        let asked = Asked::new(web, &resolver)?;
        let forged = asked.answer(EVIL)?;
        // The kernel gives the memory of a packet that ended to the next one.
        accomplice.send_to(&forged, (web.addresses()[0], 5300))?;
        listening.recv_from(&mut [0; 512]).context("what comes from elsewhere arrives")?;
        forge(web, place, &datagram(SLOW, asked.from, &forged))?;
        assert_eq!(asked.got()?, forged, "the forged answer arrives");
        asked.taught_nothing(web, &resolver, &format!("round {round}"))?;
    }
    Ok(())
}
