//! The forms that names, labels and addresses must have: those of Kubernetes, so that a file moves there unchanged.

use std::net::IpAddr;

/// A reason and a fix.
pub(super) type Complaint = (String, &'static str);

/// A label of RFC 1123: a namespace.
pub(super) fn check_namespace(text: &str) -> Result<(), Complaint> {
    if is_rfc1123_label(text) {
        return Ok(());
    }
    Err((
        format!("`{}` is not a namespace", shown(text)),
        "use 1 to 63 lower-case letters, digits and `-`, with a letter or digit first and last",
    ))
}

/// A subdomain of RFC 1123: a workload or a service account.
pub(super) fn check_name(what: &str, text: &str) -> Result<(), Complaint> {
    if text.len() <= 253 && text.split('.').all(is_rfc1123_label) {
        return Ok(());
    }
    Err((
        format!("`{}` is not the name of a {what}", shown(text)),
        "use up to 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part",
    ))
}

/// A label's key: an optional prefix (`example.com/`) and a name.
pub(super) fn check_label_key(key: &str) -> Result<(), Complaint> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if prefix.is_none_or(|prefix| check_name("", prefix).is_ok()) && is_qualified(name) {
        return Ok(());
    }
    Err((
        format!("`{}` is not the key of a label", shown(key)),
        "use 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last, after an optional `example.com/`",
    ))
}

/// A label's value.
pub(super) fn check_label_value(key: &str, value: &str) -> Result<(), Complaint> {
    if value.is_empty() || is_qualified(value) {
        return Ok(());
    }
    Err((
        format!("`{}` is not a value for the label `{}`", shown(value), shown(key)),
        "use up to 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last, or nothing",
    ))
}

/// A network namespace: a name under `/run/netns`, or an absolute path.
pub(super) fn check_netns(text: &str) -> Result<(), Complaint> {
    let fine = match text.strip_prefix('/') {
        Some(path) => !path.is_empty() && text.len() < 4096,
        None => is_file_name(text) && text.len() <= 255,
    };
    if fine && !text.contains(char::is_control) {
        return Ok(());
    }
    Err((
        format!("`{}` is not a network namespace", shown(text)),
        "write its name as `ip netns list` shows it, or an absolute path",
    ))
}

/// An interface: what the kernel takes as a device name.
pub(super) fn check_interface(text: &str) -> Result<(), Complaint> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '%');
    if is_file_name(text) && text.len() <= 15 && !text.contains(odd) {
        return Ok(());
    }
    Err((
        format!("`{}` is not an interface", shown(text)),
        "write the host-side name as `ip link` shows it, at most 15 characters, without what follows `@`",
    ))
}

/// A control group: a path as `/sys/fs/cgroup` has it.
pub(super) fn check_cgroup(text: &str) -> Result<(), Complaint> {
    let has_no_way_up = text.split('/').all(|part| part != "..") && !text.contains('\0');
    if text.starts_with('/') && text.len() <= 4096 && has_no_way_up {
        return Ok(());
    }
    Err((
        format!("`{}` is not the path of a control group", shown(text)),
        "write an absolute path below the mount of cgroup v2, such as /sys/fs/cgroup/system.slice/ntp.service",
    ))
}

/// An address that a workload can send from.
pub(super) fn check_workload_address(text: &str) -> Result<IpAddr, Complaint> {
    check_address(
        text,
        "give the workload's own addresses, or leave `addresses` out to have them read in its namespace",
    )
}

/// An address whose answers can be learned from.
pub(super) fn check_resolver(text: &str) -> Result<IpAddr, Complaint> {
    check_address(
        text,
        "give the addresses that the workload sends its look-ups to; answers over the loopback pass no hook",
    )
}

/// Whether packets to or from this address can pass between a workload and another machine.
pub(super) fn is_usable(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

fn check_address(text: &str, fix: &'static str) -> Result<IpAddr, Complaint> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err((format!("`{}` is not an address", shown(text)), fix));
    };
    if address.to_canonical() != address {
        return Err((
            format!("`{address}` is an IPv4 address in IPv6 clothes"),
            "write it as the plain IPv4 address",
        ));
    }
    if !is_usable(address) {
        return Err((format!("`{address}` is {} address", kind(address)), fix));
    }
    Ok(address)
}

fn kind(address: IpAddr) -> &'static str {
    match address {
        _ if address.is_unspecified() => "an unspecified",
        _ if address.is_multicast() => "a multicast",
        _ if address.is_loopback() => "a loopback",
        _ => "a broadcast",
    }
}

fn is_rfc1123_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_qualified(text: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.chars().next())
        && ends(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_file_name(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains('/')
}

/// `text` as it may stand in a message: short, and without what would disturb a terminal.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(64).flat_map(char::escape_debug).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// A message that was made elsewhere and may repeat parts of the file.
pub(super) fn sentence(text: &str) -> String {
    text.chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
