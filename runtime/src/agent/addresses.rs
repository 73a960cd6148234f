//! Which addresses are a workload's own: what the operator lists, else what its device has, but for what is another's.
//!
//! A workload may be able to change its device. What it gives itself there counts only where nobody else can be meant.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::kernel::netns::{Device, Survey};

/// The most addresses of one workload, as in the workloads file: a workload must not fill the map that all share.
const MOST: usize = crate::workloads::file::MAX_ADDRESSES;

/// What [`choose`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// The workload's own addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Why others that it has or should have are not, where there are any.
    pub refused: Option<String>,
}

/// The addresses of `device`. One of IPv4 in the clothes of IPv6 is the same as without: so the maps have it.
pub fn found_on(survey: &Survey, device: &Device) -> Vec<IpAddr> {
    let of_device = survey.addresses.iter().filter(|(index, _)| *index == device.index);
    of_device.map(|(_, address)| address.to_canonical()).collect()
}

/// What is listed, or else all that was found, those that it had `before` first; link-local ones always, for a
/// neighbour may be addressed by them. `taken` says whose an address is, where that is not this workload; its second
/// argument is whether the operator listed it.
pub fn choose(
    listed: &[IpAddr],
    found: &[IpAddr],
    before: &BTreeSet<IpAddr>,
    taken: impl Fn(IpAddr, bool) -> Option<String>,
) -> Own {
    let followed = |address: &&IpAddr| listed.is_empty() || is_link_local(**address);
    let (known, new): (Vec<&IpAddr>, Vec<&IpAddr>) =
        found.iter().filter(followed).partition(|ip| before.contains(*ip));
    let wanted =
        listed.iter().map(|ip| (*ip, true)).chain(known.into_iter().chain(new).map(|ip| (*ip, false)));
    let mut own = Own::default();
    let mut refused = 0_usize;
    for (address, is_listed) in wanted {
        if own.addresses.contains(&address) {
            continue;
        }
        let why = if own.addresses.len() < MOST {
            taken(address, is_listed)
        } else {
            Some(format!("a workload has {MOST} addresses at most"))
        };
        match why {
            None => _ = own.addresses.insert(address),
            Some(why) => {
                refused += 1;
                own.refused
                    .get_or_insert_with(|| format!("its address {address} is not taken for its own: {why}"));
            }
        }
    }
    if let (Some(reason), 2..) = (&mut own.refused, refused) {
        reason.push_str(&format!("; nor are {} more", refused - 1));
    }
    own
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().expect("an address")).collect()
    }

    #[test]
    fn what_is_listed_counts_and_else_what_is_found_but_never_what_is_another_s() {
        let taken =
            |ip: IpAddr, _| ips("10.0.0.9 fe80::9").contains(&ip).then(|| "it is shop/web's".to_owned());
        for (listed, found, expected, refused) in [
            ("", "10.0.0.1 fd00::1 fe80::1", "10.0.0.1 fd00::1 fe80::1", None),
            ("10.0.0.2", "10.0.0.1 fd00::1 fe80::1", "10.0.0.2 fe80::1", None),
            (
                "",
                "10.0.0.1 10.0.0.9",
                "10.0.0.1",
                Some("its address 10.0.0.9 is not taken for its own: it is shop/web's"),
            ),
            (
                "10.0.0.9",
                "fe80::9",
                "",
                Some("its address 10.0.0.9 is not taken for its own: it is shop/web's; nor are 1 more"),
            ),
        ] {
            let own = choose(&ips(listed), &ips(found), &BTreeSet::new(), taken);
            assert_eq!(own.addresses, ips(expected).into_iter().collect(), "{listed} {found}");
            assert_eq!(own.refused.as_deref(), refused, "{listed} {found}");
        }
    }

    #[test]
    fn a_thousand_more_do_not_push_out_what_was_there() {
        let many: Vec<IpAddr> =
            (0..1000_u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes())).collect();
        let before = BTreeSet::from([many[999]]);
        let own = choose(&[], &many, &before, |_, _| None);
        assert_eq!(own.addresses.len(), MOST);
        assert!(own.addresses.contains(&many[999]));
        assert!(own.refused.expect("it is told").ends_with("16 addresses at most; nor are 983 more"));
    }

    #[test]
    fn an_address_of_ipv4_is_itself_in_the_clothes_of_ipv6() {
        let device = Device {
            index: 2,
            name: "eth0".to_owned(),
            kind: None,
            link: None,
            link_netns: None,
            up: true,
            loopback: false,
            xdp: None,
        };
        let addresses = vec![(2, "::ffff:10.0.0.9".parse().expect("an address")), (3, ips("10.0.0.1")[0])];
        assert_eq!(found_on(&Survey { devices: Vec::new(), addresses }, &device), ips("10.0.0.9"));
    }
}
