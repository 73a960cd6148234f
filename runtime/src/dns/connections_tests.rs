use super::*;

const POD: WorkloadIndex = WorkloadIndex(7);
const NOW: Duration = Duration::from_secs(100);
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// Where the two ends begin: near the end of the numbers, so that every test goes over it.
const OURS: u32 = u32::MAX - 5;
const THEIRS: u32 = u32::MAX - 9;

fn pod() -> SocketAddr {
    "10.0.0.7:40000".parse().unwrap()
}

fn resolver() -> SocketAddr {
    "10.96.0.10:53".parse().unwrap()
}

fn message(id: u8, name: &str, is_answer: bool) -> Vec<u8> {
    let flags = if is_answer { 0x81 } else { 1 };
    let question = [&[name.len() as u8], name.as_bytes(), b"\x07example\0\0\x01\0\x01"].concat();
    let message = [&[0, id, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0], &question[..]].concat();
    [&(message.len() as u16).to_be_bytes()[..], &message].concat()
}

/// A connection, whose two ends count for themselves.
struct Talk {
    connections: Connections,
    ours: u32,
    theirs: u32,
}

impl Talk {
    fn new(bounds: Bounds) -> Self {
        Self { connections: Connections::new(bounds), ours: OURS, theirs: THEIRS }
    }

    fn opened() -> Self {
        let mut talk = Self::new(Bounds::default());
        assert_eq!(talk.say(SYN, b""), Ok(()));
        assert_eq!(talk.hear(SYN | ACK, b""), (vec![], Ok(())));
        talk
    }

    /// The workload sends the next segment.
    fn say(&mut self, flags: u8, payload: &[u8]) -> Result<(), Stray> {
        let at = self.ours;
        self.ours = at.wrapping_add(payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        self.say_at(at, flags, payload)
    }

    fn say_at(&mut self, sequence: u32, flags: u8, payload: &[u8]) -> Result<(), Stray> {
        let frame = TcpFrame {
            source: pod(),
            destination: resolver(),
            sequence,
            acknowledgment: self.theirs,
            flags,
            payload,
        };
        self.connections.sent(POD, &frame, NOW)
    }

    /// The resolver sends the next segment: the ids of what is learned.
    fn hear(&mut self, flags: u8, payload: &[u8]) -> (Vec<u8>, Result<(), Stray>) {
        let at = self.theirs;
        self.theirs = at.wrapping_add(payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0));
        self.hear_at(at, self.ours, flags, payload)
    }

    fn hear_at(&mut self, at: u32, ack: u32, flags: u8, payload: &[u8]) -> (Vec<u8>, Result<(), Stray>) {
        let frame = TcpFrame {
            source: resolver(),
            destination: pod(),
            sequence: at,
            acknowledgment: ack,
            flags,
            payload,
        };
        let mut learned = Vec::new();
        let end = self.connections.received(POD, &frame, NOW, |message| learned.push(message[1]));
        (learned, end)
    }
}

#[test]
fn answers_to_pipelined_questions_are_learned_in_any_order_and_each_once() {
    let mut talk = Talk::opened();
    let questions = [message(1, "a", false), message(2, "b", false), message(3, "c", false)].concat();
    // The questions are cut in the middle of a length.
    let (first, second) = questions.split_at(message(1, "a", false).len() + 1);
    assert_eq!((talk.say(ACK, first), talk.say(ACK, second)), (Ok(()), Ok(())));
    let answers = [message(3, "C", true), message(1, "a", true)].concat();
    assert_eq!(talk.hear(ACK, &answers), (vec![3, 1], Ok(())));
    assert_eq!(talk.hear(ACK, &message(1, "a", true)), (vec![], Err(Stray::Message)), "answered before");
    assert_eq!(talk.hear(ACK, &message(2, "b", true)), (vec![2], Ok(())));
}

#[test]
fn a_message_that_answers_no_question_of_this_connection_teaches_nothing() {
    for (id, name) in [(2, "a"), (1, "b")] {
        let mut talk = Talk::opened();
        assert_eq!(talk.say(ACK, &message(1, "a", false)), Ok(()));
        assert_eq!(talk.hear(ACK, &message(id, name, true)), (vec![], Err(Stray::Message)));
        assert_eq!(talk.hear(ACK, &message(1, "a", true)), (vec![1], Ok(())), "the right one still does");
    }
}

#[test]
fn a_connection_that_the_workload_did_not_open_teaches_nothing() {
    let mut talk = Talk::new(Bounds::default());
    assert_eq!(talk.hear(SYN | ACK, b"").1, Err(Stray::Segment));
    assert_eq!(talk.say(ACK, &message(1, "a", false)), Err(Stray::Segment), "its beginning was not seen");
    assert_eq!(talk.hear(ACK, &message(1, "a", true)), (vec![], Err(Stray::Segment)));
}

#[test]
fn a_forged_segment_with_wrong_numbers_teaches_nothing_and_harms_nothing() {
    let mut talk = Talk::opened();
    assert_eq!(talk.say(ACK, &message(1, "a", false)), Ok(()));
    let forged = message(1, "a", true);
    for (what, at, ack) in [
        ("a sequence number far ahead", talk.theirs.wrapping_add(1 << 24), talk.ours),
        ("one far behind", talk.theirs.wrapping_sub(1 << 24), talk.ours),
        ("an acknowledgment of what was not sent", talk.theirs, talk.ours.wrapping_add(1)),
        ("one of what was before the connection", talk.theirs, OURS),
        ("a random one", talk.theirs, talk.ours.wrapping_add(0x1234_5678)),
    ] {
        assert_eq!(talk.hear_at(at, ack, ACK, &forged), (vec![], Err(Stray::Segment)), "{what}");
    }
    let (at, ack) = (talk.theirs, talk.ours);
    assert_eq!(talk.hear_at(at, ack, 0, &forged), (vec![], Err(Stray::Segment)), "no acknowledgment at all");
    assert_eq!(talk.hear_at(at.wrapping_add(9), ack, RST | ACK, b"").1, Err(Stray::Segment), "a forged end");
    assert_eq!(talk.hear(ACK, &forged), (vec![1], Ok(())));
}

#[test]
fn who_answers_a_syn_must_know_its_number() {
    let mut talk = Talk::new(Bounds::default());
    assert_eq!(talk.say(SYN, b""), Ok(()));
    for ack in [OURS, OURS.wrapping_add(2), 0x1234_5678] {
        assert_eq!(talk.hear_at(77, ack, SYN | ACK, b"").1, Err(Stray::Segment));
    }
    assert_eq!(talk.hear(SYN | ACK, b"").1, Ok(()));
    let theirs = talk.theirs;
    let other = theirs.wrapping_add(1 << 30);
    assert_eq!(talk.hear_at(other, talk.ours, SYN | ACK, b"").1, Err(Stray::Segment), "a second, other one");
    assert_eq!(talk.hear_at(theirs.wrapping_sub(1), talk.ours, SYN | ACK, b"").1, Ok(()), "the same again");
}

#[test]
fn data_with_the_syn_counts() {
    let mut talk = Talk::new(Bounds::default());
    let question = message(1, "a", false);
    assert_eq!(talk.say(SYN, &question), Ok(()));
    assert_eq!(talk.hear(SYN | ACK, &message(1, "a", true)), (vec![1], Ok(())));
}

#[test]
fn an_ended_connection_is_forgotten_and_a_new_one_of_the_same_ends_is_new() {
    for end in ["reset by us", "reset by them", "closed by them"] {
        let mut talk = Talk::opened();
        assert_eq!(talk.say(ACK, &message(1, "a", false)), Ok(()));
        assert_eq!(talk.say(FIN | ACK, b""), Ok(()), "who has asked all may say so");
        let ended = match end {
            "reset by us" => talk.say(RST, b""),
            "reset by them" => talk.hear(RST | ACK, b"").1,
            _ => talk.hear(FIN | ACK, &message(1, "a", true)).1,
        };
        assert_eq!(ended, Ok(()), "{end}");
        assert_eq!(talk.hear(ACK, b"x").1, Err(Stray::Segment), "{end}");
        (talk.ours, talk.theirs) = (5000, 9000);
        assert_eq!((talk.say(SYN, b""), talk.hear(SYN | ACK, b"").1), (Ok(()), Ok(())), "{end}");
        assert_eq!(talk.hear(ACK, &message(1, "a", true)).0, [0; 0], "{end}: asked on the one before");
    }
}

#[test]
fn a_new_syn_on_a_live_connection_begins_it_anew_and_the_same_one_does_not() {
    let mut talk = Talk::opened();
    assert_eq!(talk.say(ACK, &message(1, "a", false)), Ok(()));
    assert_eq!(talk.say_at(OURS, SYN, b""), Ok(()));
    assert_eq!(talk.hear(ACK, &message(1, "a", true)), (vec![1], Ok(())));
    talk.ours = 1234;
    assert_eq!(talk.say(SYN, b""), Ok(()));
    assert_eq!(talk.hear(ACK, &message(1, "a", true)), (vec![], Err(Stray::Segment)));
}

#[test]
fn questions_that_contradict_themselves_or_are_no_questions_end_the_lesson() {
    for (second, why) in [(&b"\x00\xff"[..], Stray::Broken), (b"\xff\xff", Stray::Broken)] {
        let mut talk = Talk::opened();
        let at = talk.ours;
        if why == Stray::Broken && second[0] == 0 {
            assert_eq!(talk.say_at(at, ACK, b"\x00\x20"), Ok(()));
        }
        assert_eq!(talk.say_at(at, ACK, second), Err(why));
        assert_eq!(talk.say_at(at, ACK, second), Err(Stray::Segment));
    }
}

#[test]
fn connections_and_bytes_of_one_workload_are_bounded_and_idle_ones_are_forgotten() {
    let bounds = Bounds { connections: 3, bytes: 100, ..Bounds::default() };
    let mut talk = Talk::new(bounds);
    let mut open = |port: u16| {
        let mut from = pod();
        from.set_port(port);
        let frame = TcpFrame {
            source: from,
            destination: resolver(),
            sequence: 0,
            acknowledgment: 0,
            flags: SYN,
            payload: &[&[3, 0][..], &[0; 38]].concat(),
        };
        talk.connections.sent(POD, &frame, NOW)
    };
    let opened: Vec<_> = (1..=4).map(&mut open).collect();
    assert_eq!(
        opened,
        [Ok(()), Ok(()), Err(Stray::Full), Ok(())][..2]
            .iter()
            .copied()
            .chain([Err(Stray::Full), Err(Stray::Full)])
            .collect::<Vec<_>>()
    );
    assert_eq!(talk.connections.kept, 80);
    talk.connections.sweep(NOW + Duration::from_mins(11));
    assert_eq!((talk.connections.kept, talk.connections.of.len()), (0, 0));
    for port in 1..=9 {
        let mut from = pod();
        from.set_port(port);
        let frame = TcpFrame {
            source: from,
            destination: resolver(),
            sequence: 0,
            acknowledgment: 0,
            flags: SYN,
            payload: b"",
        };
        assert_eq!(talk.connections.sent(POD, &frame, NOW), Ok(()));
    }
    assert_eq!(talk.connections.of[&POD].connections.len(), 3);
}

#[test]
fn questions_without_an_answer_are_bounded() {
    let mut talk = Talk::opened();
    for number in 0..QUESTIONS {
        let name = format!("n{number}");
        assert_eq!(talk.say(ACK, &message(1, &name, false)), Ok(()));
    }
    assert_eq!(talk.say(ACK, &message(1, "over", false)), Err(Stray::Full));
    assert_eq!(talk.hear(ACK, &message(1, "n0", true)).0, [1], "those before are answered as ever");
}
