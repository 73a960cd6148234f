//! A workload with NET_ADMIN rebuilds its own device: other filters, another link address, another name. It is judged by
//! the same rules all the while.

use anyhow::Result;
use egret_tests::netns::ip_batch;
use egret_tests::{Pod, Seen, Setup, World, enforced};

use super::{REAL, tc};

/// What a device loses when it goes down.
fn routes(device: &str) -> [String; 2] {
    [
        format!("route replace 169.254.1.1 dev {device} scope link"),
        format!("route replace default via 169.254.1.1 dev {device}"),
    ]
}

/// Takes the device down, does `what` to it, and brings it up under the name `after`.
fn rebuild(world: &World, pod: &Pod, device: &str, what: &str, after: &str) -> Result<()> {
    let mut lines = vec![
        format!("link set {device} down"),
        format!("link set {device} {what}"),
        format!("link set {after} up"),
    ];
    lines.extend(routes(after));
    ip_batch(Some(pod.netns()), &lines)?;
    ip_batch(Some(world.node()), &[format!("neigh flush dev {}", pod.host_interface())])
}

#[test]
fn a_workload_that_rebuilds_its_own_device_is_judged_by_the_same_rules() -> Result<()> {
    let world = World::with_pods(&["shop/web"])?;
    let web = world.pod("shop/web");
    world.dns().set("a.example.com", &[&REAL.to_string()]);
    let rules = format!("{}\n- to: [{{cidr: 198.51.100.7/32}}]", super::RULES);
    let agent = Setup::new(&world)?.policy("web.yaml", &enforced("shop/web", &rules))?.start()?;
    type Step = fn(&World, &Pod) -> Result<()>;
    let steps: [(&str, Step); 6] = [
        ("nothing", |_, _| Ok(())),
        ("filters", |_, web| {
            tc(web.netns(), "qdisc add dev eth0 clsact")?;
            // Everything is taken, and let go on: who else has a filter here would not be asked.
            tc(web.netns(), "filter add dev eth0 ingress pref 1 protocol all u32 match u32 0 0 classid 1:1")
        }),
        ("no filters", |_, web| tc(web.netns(), "qdisc del dev eth0 clsact")),
        ("another link address", |world, web| {
            rebuild(world, web, "eth0", "address 02:00:00:00:0e:66", "eth0")
        }),
        ("another name", |world, web| rebuild(world, web, "eth0", "name lan0", "lan0")),
        ("the old name", |world, web| rebuild(world, web, "lan0", "name eth0", "eth0")),
    ];
    for (what, step) in steps {
        step(&world, web)?;
        assert_eq!(web.connect("203.0.113.66", 443)?.seen, Seen::Refused, "{what}");
        assert_eq!(web.connect("198.51.100.7", 443)?.seen, Seen::Connected, "{what}");
        assert_eq!(web.connect("a.example.com", 443)?.seen, Seen::Connected, "{what}");
        agent.wait_for_gap(web, None)?;
    }
    Ok(())
}
