//! The hash of a DNS question, which ties an answer to what was asked, against hickory's reading of the same bytes.
//!
//! Input: one byte for the length of a first message, that message, and a second one.

use egret_decide::question;
use egret_decide::testing::frame::Frame;
use hickory_proto::op::Query;
use hickory_proto::rr::{DNSClass, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// Where DNS messages start in a plain IPv4 frame.
const AT: usize = 42;
const HEADER: usize = 12;
/// Longer names and names of more labels teach nothing, by design.
const MOST_LABELS: usize = 39;

/// Two messages have one hash where they ask one question.
pub fn run(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (first, second) = rest.split_at(rest.len().min(usize::from(*length)));
    let (first, second) = (Message::of(first), Message::of(second));
    let (Some(one), Some(other)) = (first.hash, second.hash) else { return };
    if first.question() == second.question() {
        assert_eq!(one, other, "one question in two cases");
    } else if first.shape() == second.shape() && first.is_letters() && second.is_letters() {
        // The bit that makes letters lower case is also set in the lengths of labels, so that names cut into labels
        // elsewhere may look alike. Only a resolver that is trusted could make use of that.
        assert_ne!(one, other, "two questions");
    }
}

struct Message {
    hash: Option<u64>,
    query: Option<Query>,
}

impl Message {
    /// Also: what hashes is what hickory reads, and the other way round within the limits.
    fn of(bytes: &[u8]) -> Self {
        let hash = question::hash(&Frame::new([&[0; AT], bytes].concat()), AT);
        let one = bytes.get(4..6) == Some(&[0, 1]);
        let mut decoder = BinDecoder::new(bytes);
        let header = decoder.read_slice(HEADER).is_ok();
        let query = if header && one { Query::read(&mut decoder).ok() } else { None };
        // As long as it is when written out: neither compressed nor cut off.
        let length = |query: &Query| query.name().iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        let written = |query: &Query| HEADER + length(query) + 4 == decoder.index();
        match (&query, hash) {
            (None, Some(_)) => panic!("what hickory cannot read has a hash: {bytes:02x?}"),
            (Some(query), None) if written(query) && query.name().iter().count() <= MOST_LABELS => {
                panic!("{query} has no hash");
            }
            _ => {}
        }
        Self { hash, query }
    }

    fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.query.iter().flat_map(|query| query.name().iter())
    }

    fn question(&self) -> (Vec<Vec<u8>>, Option<(RecordType, DNSClass)>) {
        let kind = self.query.as_ref().map(|query| (query.query_type(), query.query_class()));
        (self.labels().map(<[u8]>::to_ascii_lowercase).collect(), kind)
    }

    fn shape(&self) -> Vec<usize> {
        self.labels().map(<[u8]>::len).collect()
    }

    /// Whether the bit that makes letters lower case makes no two of its characters one.
    fn is_letters(&self) -> bool {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        self.labels().all(|label| label.iter().all(plain))
    }
}
