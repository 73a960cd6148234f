//! Who has which address and name, and the `ip` commands that make it so. Pure: text in, text out.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The node on its link to the internet.
pub const NODE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(203, 0, 113, 1), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1));
/// The internet on the same link; it answers on every other address as well.
pub const INTERNET: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(203, 0, 113, 2), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2));
/// The node's interface on the same link.
pub const UPLINK: &str = "internet";
/// Where pods live.
pub const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:244::/64"];

const FIRST_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 10);

/// How pods are tied to their node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Each pod has a link of its own with the node as gateway (169.254.1.1, fe80::1), as routed CNIs do.
    #[default]
    Routed,
    /// All pods are ports of one bridge (10.244.0.1/16, fd00:244::1/64), as the bridge plugin does.
    Bridge,
}

/// One pod: where it sits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its namespace under `/run/netns`.
    pub netns: String,
    /// The host side of its interface pair, in the node's namespace.
    pub host_interface: String,
    /// The number of that interface. It differs from that of the pod's side: the kernel takes up to a second to call
    /// a veth ready whose two sides have one number (`linkwatch_urgent_event`), and the default would often be so.
    pub host_index: u32,
    /// Its addresses.
    pub ipv4: Ipv4Addr,
    /// As above.
    pub ipv6: Ipv6Addr,
}

/// The link of the `index`th pod (from 0, under 1000), called `name`, of the world `prefix`.
#[must_use]
pub fn link(prefix: &str, index: u16, name: &str) -> Link {
    let short: String = name.chars().filter(char::is_ascii_alphanumeric).take(9).collect();
    Link {
        netns: format!("{prefix}-pod{index}-{short}"),
        host_interface: format!("v{index}-{short}"),
        host_index: 100 + u32::from(index),
        ipv4: Ipv4Addr::from_bits(FIRST_POD.to_bits() + u32::from(index)),
        ipv6: Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 0x10 + index),
    }
}

impl Link {
    /// The same link, with other addresses.
    #[must_use]
    pub fn readdressed(&self) -> Self {
        let (ipv4, ipv6) = (self.ipv4.to_bits() ^ 1 << 15, self.ipv6.to_bits() ^ 1 << 15);
        Self { ipv4: Ipv4Addr::from_bits(ipv4), ipv6: Ipv6Addr::from_bits(ipv6), ..self.clone() }
    }
}

/// In the node's namespace, before any pod: its link to the internet and, where asked for, the bridge.
#[must_use]
pub fn node(internet: &str, topology: Topology) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add name internet index 99 type veth peer name eth0 netns {internet}"),
        format!("addr add {}/30 dev internet", NODE.0),
        format!("addr add {}/126 dev internet nodad", NODE.1),
        "link set internet up".to_owned(),
        format!("route add default via {}", INTERNET.0),
        format!("route add default via {}", INTERNET.1),
    ];
    if topology == Topology::Bridge {
        lines.extend([
            "link add name br0 type bridge".to_owned(),
            "addr add 10.244.0.1/16 dev br0".to_owned(),
            "addr add fd00:244::1/64 dev br0 nodad".to_owned(),
            "link set br0 up".to_owned(),
        ]);
    }
    lines
}

/// In the internet's namespace: every address on earth is its own, but for the node's and the pods'.
#[must_use]
pub fn internet() -> Vec<String> {
    let [pods4, pods6] = POD_RANGES;
    vec![
        "link set lo up".to_owned(),
        format!("addr add {}/30 dev eth0", INTERNET.0),
        format!("addr add {}/126 dev eth0 nodad", INTERNET.1),
        "link set eth0 up".to_owned(),
        format!("route add {pods4} via {}", NODE.0),
        format!("route add {pods6} via {}", NODE.1),
        "route add local 0.0.0.0/0 dev lo table main".to_owned(),
        "route add local ::/0 dev lo table main".to_owned(),
    ]
}

/// In the node's namespace: the pod's host side.
#[must_use]
pub fn host_side(pod: &Link, topology: Topology) -> Vec<String> {
    let Link { netns, host_interface: host, host_index, ipv4, ipv6 } = pod;
    let mut lines =
        vec![format!("link add name {host} index {host_index} type veth peer name eth0 netns {netns}")];
    match topology {
        Topology::Routed => lines.extend([
            format!("addr add 169.254.1.1/32 dev {host}"),
            format!("addr add fe80::1/64 dev {host} nodad"),
            format!("link set {host} up"),
            format!("route add {ipv4}/32 dev {host} src {}", NODE.0),
            format!("route add {ipv6}/128 dev {host}"),
        ]),
        Topology::Bridge => lines.push(format!("link set {host} master br0 up")),
    }
    lines
}

/// In the pod's namespace.
#[must_use]
pub fn pod_side(pod: &Link, topology: Topology) -> Vec<String> {
    let (length4, length6) = if topology == Topology::Routed { (32, 128) } else { (16, 64) };
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("addr add {}/{length4} dev eth0", pod.ipv4),
        format!("addr add {}/{length6} dev eth0 nodad", pod.ipv6),
        "link set eth0 up".to_owned(),
    ];
    lines.extend(match topology {
        Topology::Routed => vec![
            "route add 169.254.1.1 dev eth0 scope link".to_owned(),
            "route add default via 169.254.1.1 dev eth0".to_owned(),
            "route add default via fe80::1 dev eth0".to_owned(),
        ],
        Topology::Bridge => vec![
            "route add default via 10.244.0.1 dev eth0".to_owned(),
            "route add default via fd00:244::1 dev eth0".to_owned(),
        ],
    });
    lines
}

/// Settings of every namespace: no waiting for duplicate addresses, and the one congestion control that
/// the kernel lets every namespace choose, whatever the machine's own is (BBR paces, which blurs times).
pub const EVERYWHERE: [(&str, &str); 5] = [
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/tcp_congestion_control", "reno"),
];

/// Settings of the node: it forwards, and never drops a packet for its source address, so that whatever is dropped
/// was dropped by the program under test.
pub const NODE_SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];

/// Settings of the internet: it answers on addresses that no interface carries, and takes packets from anyone.
pub const INTERNET_SETTINGS: [(&str, &str); 4] = [
    ("ipv6/ip_nonlocal_bind", "1"),
    ("ipv4/conf/all/accept_local", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];

/// Whether every interface in `devices` (`/proc/net/dev`), but the loopback, has a link-local address that is good to
/// use in `addresses` (`/proc/net/if_inet6`: address, index, length, scope, flags, name).
#[must_use]
pub fn links_are_ready(devices: &str, addresses: &str) -> bool {
    let names = devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.filter(|name| *name != "lo").all(|name| {
        addresses.lines().any(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            matches!(words[..], [_, _, _, "20", flags, of] if of == name && tentative(flags) == Some(false))
        })
    })
}

/// `IFA_F_TENTATIVE`, in hexadecimal.
fn tentative(flags: &str) -> Option<bool> {
    Some(u8::from_str_radix(flags, 16).ok()? & 0x40 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_ready_once_its_own_address_is() {
        let devices = "Inter-|   Receive\n face |bytes\n    lo:       0    0\n  eth0:     906    9\n";
        let ready = "fe800000000000007c3777fffe4a9b82 02 40 20 80     eth0\n";
        assert!(links_are_ready(devices, ready));
        assert!(!links_are_ready(devices, &ready.replace(" 80 ", " c0 ")), "still tentative");
        assert!(!links_are_ready(devices, &ready.replace(" 20 ", " 00 ")), "another scope");
        assert!(!links_are_ready(devices, &ready.replace("eth0", "eth1")), "another link");
    }

    #[test]
    fn a_host_interface_name_fits_the_kernel_s_15_characters() {
        for (index, name) in [(0, "a"), (999, "a-very-long-name-of-a-pod"), (7, "--")] {
            let link = link("eg4194304-12", index, name);
            assert!(link.host_interface.len() <= 15, "{}", link.host_interface);
        }
    }

    #[test]
    fn two_pods_of_one_name_share_nothing() {
        let (one, two) = (link("eg1-0", 0, "web"), link("eg1-0", 1, "web"));
        assert_ne!(one.netns, two.netns);
        assert_ne!(one.host_interface, two.host_interface);
        assert_ne!((one.ipv4, one.ipv6), (two.ipv4, two.ipv6));
    }
}
