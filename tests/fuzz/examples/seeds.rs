//! Writes the seeds of the targets that read bytes, from the frames that the tests of the packet logic are made of:
//! `cargo run -p egret-fuzz --example seeds`. Those of the targets that read text are written by hand.

use std::fs;
use std::path::Path;

use egret::model::{PolicyId, WorkloadId};
use egret::state::{
    ClassNumber, KnownName, KnownNames, NamesOf, NextNumbers, PolicyText, RuleNumber, Snapshot, Stored,
    WorkloadNumber,
};
use egret_decide::testing::frame::{ACK, Ends, FIN, Frame, RST, SYN, dns, with_extensions, with_options};
use egret_decide::testing::world::{both, to_resolver};

/// Which way a frame goes, in the first byte before it.
const OUT: u8 = 0;
const IN: u8 = 1;

fn main() {
    for (name, frame) in frames() {
        write("refuse", name, &frame);
        write("decide", &format!("{name}_denied"), &play(0, &[(OUT, frame.clone())]));
        write("decide", &format!("{name}_ruled"), &play(1, &[(OUT, frame.clone()), (OUT | 2, frame)]));
    }
    conversations();
    questions();
    answers();
    pieces();
    snapshots();
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), bytes).expect("written");
}

/// An input of `decide`.
fn play(scene: u8, frames: &[(u8, Frame)]) -> Vec<u8> {
    let mut input = vec![scene];
    for (step, frame) in frames {
        input.push(*step);
        input.extend((frame.len() as u16).to_be_bytes());
        input.extend_from_slice(frame);
    }
    input
}

fn frames() -> Vec<(&'static str, Frame)> {
    let [v4, v6] = both(443);
    let [ask4, ask6] = to_resolver().map(|ends| ends.udp(&dns(1, false, "www.example.com", 1)));
    let forbidden = Ends::new("10.0.0.7:40000", "192.0.2.200:443");
    let spoofed = Ends::new("10.0.0.8:40000", "192.0.2.1:443");
    let dhcp = Ends::new("0.0.0.0:68", "255.255.255.255:67");
    let solicit = Ends::new("[fd00::7]:0", "[ff02::1:ff00:1]:0").ip(58, &[135, 0, 0, 0, 0, 0, 0, 0]);
    let arp = v4.ip(0, &[0; 28]).with(12, &[8, 6]);
    vec![
        ("syn4", v4.tcp(SYN)),
        ("syn6", v6.tcp(SYN)),
        ("data4", v4.segment(ACK, 7, 9, b"hello")),
        ("end6", v6.segment(FIN | ACK, 7, 9, b"bye")),
        ("reset4", v4.tcp(RST)),
        ("datagram4", v4.udp(b"hello")),
        ("datagram6", v6.udp(b"hello")),
        ("echo4", v4.echo(3, true)),
        ("echo6", v6.echo(3, true)),
        ("sctp4", v4.ip(132, &[0x9c, 0x40, 1, 187, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("options4", with_options(&v4.tcp(SYN), 10)),
        ("extensions6", with_extensions(&v6.tcp(SYN), 60, 3, 2)),
        ("fragment4", v4.udp(b"hello").with(20, &[0x20, 0])),
        ("later4", v4.udp(b"hello").with(20, &[0, 185])),
        ("fragment6", with_extensions(&v6.udp(b"hello"), 44, 1, 1)),
        ("forbidden4", forbidden.tcp(SYN)),
        ("spoofed4", spoofed.tcp(SYN)),
        ("dhcp4", dhcp.udp(&[1; 20])),
        ("solicit6", solicit.with(21, &[255])),
        ("arp", arp),
        ("ask4", ask4),
        ("ask6", ask6),
        ("short4", v4.tcp(SYN).cut(40)),
        ("tagged", v4.tcp(SYN).with(12, &[0x81, 0])),
    ]
}

/// More frames than one: connections from outside, their answers and refusals, questions and theirs.
fn conversations() {
    for (family, ends) in ["4", "6"].into_iter().zip(both(443)) {
        let replies = [(IN, ends.back().tcp(SYN)), (OUT, ends.tcp(SYN | ACK)), (OUT | 2, ends.tcp(ACK))];
        write("decide", &format!("reply{family}"), &play(0, &replies));
        let echoes = [(IN, ends.back().echo(9, true)), (OUT | 4, ends.echo(9, false))];
        write("decide", &format!("pong{family}"), &play(0, &echoes));
        let came = ends.back().udp(b"who is there");
        let refused = match family {
            "4" => ends.ip(1, &[&[3, 3, 0, 0, 0, 0, 0, 0], &came[14..]].concat()),
            _ => ends.ip(58, &[&[1, 4, 0, 0, 0, 0, 0, 0], &came[14..]].concat()),
        };
        write("decide", &format!("error{family}"), &play(0, &[(IN, came), (OUT, refused)]));
    }
    for (family, ends) in ["4", "6"].into_iter().zip(to_resolver()) {
        let ask = ends.udp(&dns(7, false, "www.example.com", 28));
        let tell = ends.back().udp(&dns(7, true, "WWW.example.com", 28));
        write("decide", &format!("look_up{family}"), &play(0, &[(OUT, ask), (IN, tell.clone()), (IN, tell)]));
    }
}

fn questions() {
    let pairs = [
        ("same", dns(1, false, "www.example.com", 1), dns(1, true, "www.example.com", 1)),
        ("case", dns(1, false, "WWW.example.COM", 28), dns(2, true, "www.EXAMPLE.com", 28)),
        ("type", dns(1, false, "a.test", 1), dns(1, true, "a.test", 33)),
        ("name", dns(1, false, "a1.test", 1), dns(1, true, "b1.test", 1)),
        ("deep", dns(1, false, &["a"; 39].join("."), 1), dns(1, true, &["A"; 39].join("."), 1)),
        ("long", dns(1, false, &["a".repeat(60), "b".repeat(60)].join("."), 1), dns(1, true, "a", 1)),
    ];
    for (name, first, second) in pairs {
        write("dns_question", name, &[&[first.len() as u8], &first[..], &second].concat());
    }
}

/// A record: owner as a pointer to `owner`, type, class IN, TTL and data.
fn record(owner: u8, kind: u8, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0xc0, owner, 0, kind, 0, 1];
    record.extend(ttl.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn answer(kind: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = dns(1, true, "www.example.com", kind);
    message[7] = records.len() as u8;
    message.extend(records.concat());
    message
}

fn answers() {
    // The question's name is at 12 and its record at 33, so the data of a first alias is at 45.
    let alias = |ttl| record(12, 5, ttl, b"\x04edge\x03cdn\x04test\x00");
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 9];
    let mut truncated = answer(1, &[record(12, 1, 60, &[192, 0, 2, 1]), alias(9)]);
    truncated[2] |= 2;
    truncated.truncate(truncated.len() - 3);
    let hints = [&[0, 4, 0, 4, 192, 0, 2, 7, 0, 6, 0, 16][..], &v6].concat();
    let service = [&b"\x00\x01\x03svc\x04test\x00\x00\x01\x00\x03\x02h2"[..], &hints].concat();
    let mut denied = answer(1, &[]);
    denied[3] = 3;
    let messages = [
        ("a", answer(1, &[record(12, 1, 60, &[192, 0, 2, 1]), record(12, 1, 30, &[192, 0, 2, 2])])),
        ("aaaa", answer(28, &[record(12, 28, 60, &v6), record(12, 28, 9, &mapped)])),
        ("alias", answer(1, &[alias(300), record(45, 1, 60, &[192, 0, 2, 3])])),
        ("loop", answer(1, &[alias(300), record(45, 5, 60, &[0xc0, 12])])),
        ("foreign", answer(1, &[record(16, 1, 60, &[192, 0, 2, 1]), record(12, 16, 60, b"\x03txt")])),
        ("high_ttl", answer(1, &[record(12, 1, u32::MAX, &[192, 0, 2, 1])])),
        ("truncated", truncated),
        ("service", answer(65, &[record(12, 65, 60, &service), record(12, 64, 9, &service)])),
        ("no_such_name", denied),
        ("question", dns(1, false, "www.example.com", 1)),
    ];
    for (name, message) in messages {
        write("dns_learner", name, &message);
        write("dns_answer", name, &[&[1], &message[..]].concat());
        write("dns_answer", &format!("{name}6"), &[&[2], &message[..]].concat());
    }
    let [v4, v6] = to_resolver().map(Ends::back);
    let message = answer(1, &[record(12, 1, 60, &[192, 0, 2, 1])]);
    let frames = [
        ("frame4", v4.udp(&message)),
        ("frame6", v6.udp(&message)),
        ("frame_options4", with_options(&v4.udp(&message), 3)),
        ("frame_extensions6", with_extensions(&v6.udp(&message), 0, 1, 1)),
        ("frame_fragment4", v4.udp(&message).with(20, &[0x20, 0])),
    ];
    for (name, frame) in frames {
        write("dns_answer", name, &[&[0], &frame[..]].concat());
    }
}

/// Messages that come in pieces; a piece is its place, its length, and what is wrong with it.
fn pieces() {
    let message = answer(1, &[record(12, 1, 60, &[192, 0, 2, 1])]);
    let mut tell = dns(7, true, "a.example", 1);
    tell[7] = 0;
    let stream: Vec<u8> = [&message, &tell]
        .into_iter()
        .flat_map(|of| [&(of.len() as u16).to_be_bytes()[..], of].concat())
        .collect();
    let cuts: [(&str, &[[u8; 4]]); 6] = [
        ("in_order", &[[0, 0, 40, 0], [0, 40, 255, 0]]),
        ("backwards", &[[0, 60, 255, 0], [0, 20, 40, 0], [0, 0, 20, 0]]),
        ("twice", &[[0, 0, 30, 0], [0, 10, 60, 0], [0, 0, 255, 0]]),
        ("contradiction", &[[0, 9, 30, 0], [0, 5, 20, 1], [0, 0, 255, 0]]),
        ("blind", &[[0, 0, 255, 2]]),
        ("a_byte_at_a_time", &[[0, 0, 1, 0], [0, 1, 1, 0], [0, 2, 255, 0]]),
    ];
    for (name, cuts) in cuts {
        write("dns_stream", name, &[&[0x80, cuts.len() as u8][..], &cuts.concat(), &stream].concat());
        write(
            "dns_stream",
            &format!("{name}_wraps"),
            &[&[0x70, cuts.len() as u8][..], &cuts.concat(), &stream].concat(),
        );
    }
    let cuts: [(&str, &[[u8; 4]]); 6] = [
        ("in_order", &[[0, 2, 0, 0], [2, 2, 0, 0], [4, 99, 0, 0]]),
        ("backwards", &[[4, 99, 0, 0], [2, 2, 0, 0], [0, 2, 0, 0]]),
        ("changed", &[[0, 2, 0, 0], [2, 99, 0, 1]]),
        ("overlap", &[[0, 3, 0, 0], [2, 99, 0, 0]]),
        ("not_asked", &[[0, 2, 1, 0], [2, 99, 0, 0]]),
        ("another_way", &[[0, 2, 0, 0], [2, 99, 0, 4]]),
    ];
    for (name, cuts) in cuts {
        write("dns_fragments", name, &[&[cuts.len() as u8][..], &cuts.concat(), &message].concat());
    }
}

fn snapshots() {
    let full = Snapshot {
        boot_id: "6b1e9f5e".into(),
        classes: vec![ClassNumber { names: "*.example.com".into(), class: 1 }],
        rules: vec![RuleNumber {
            policy: PolicyId::of_namespace("shop", "egress"),
            rule: "allow[0]".into(),
            number: 2,
        }],
        workloads: vec![WorkloadNumber {
            id: WorkloadId { namespace: "shop".into(), name: "api".into() },
            index: 1,
            ifindex: 7,
            epoch: 3,
            fingerprint: 0x5eed,
        }],
        next: NextNumbers { class: 2, rule: 3, ruleset: 1, workload: 2 },
        policies: vec![PolicyText { file: "shop.yaml".into(), text: "kind: EgressPolicy".into() }],
    };
    for (name, snapshot) in [("full", full), ("empty", Snapshot::default())] {
        let file = snapshot.encode().expect("it fits");
        write("snapshot", &format!("{name}_file"), &[&[0], &file[..]].concat());
        write("snapshot", &format!("{name}_content"), &[&[1], &file[24..]].concat());
    }
    let name = KnownName { name: "a.example".into(), addresses: vec![([192, 0, 2, 1].into(), 60)] };
    let known = NamesOf {
        id: WorkloadId { namespace: "shop".into(), name: "api".into() },
        netns: 4_026_532_000,
        names: vec![name],
    };
    let names = KnownNames {
        boot_id: "6b1e9f5e".into(),
        written: 1_800_000_000,
        since_boot: 60,
        workloads: vec![known],
    };
    let file = names.encode().expect("it fits");
    write("snapshot", "names_file", &[&[2], &file[..]].concat());
    write("snapshot", "names_content", &[&[3], &file[24..]].concat());
}
