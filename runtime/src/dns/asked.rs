//! What a DNS message is about, whatever was asked: also what no rule can name.

use std::fmt::Write;

use hickory_proto::op::{Header, MessageType, OpCode, Query};
use hickory_proto::rr::Name as WireName;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// The question of a response, as modules are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, in lower case and without a closing dot. A byte that is no letter, digit, `-` or `_` is written as `\DDD`,
    /// so that each dot ends a label.
    pub name: String,
    /// The type of record.
    pub record_type: u16,
    /// The low four bits of the response code.
    pub rcode: u8,
}

/// Reads the question of a response; `None` where it is none, or asks for the root.
#[must_use]
pub fn asked(message: &[u8]) -> Option<Asked> {
    let mut decoder = BinDecoder::new(message);
    let header = Header::read(&mut decoder).ok()?;
    let meta = header.metadata;
    if meta.message_type != MessageType::Response
        || meta.op_code != OpCode::Query
        || header.counts.queries != 1
    {
        return None;
    }
    let query = Query::read(&mut decoder).ok()?;
    let name = written(query.name());
    let rcode = meta.response_code.low();
    (!name.is_empty()).then(|| Asked { name, record_type: query.query_type().into(), rcode })
}

fn written(name: &WireName) -> String {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for byte in label {
            match byte.to_ascii_lowercase() {
                plain @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => text.push(plain.into()),
                // Writing to a string does not fail.
                odd => drop(write!(text, "\\{odd:03}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A response with this code to a question for these labels.
    fn response(labels: &[&[u8]], record_type: u16, rcode: u8) -> Vec<u8> {
        let mut message = vec![0, 7, 0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(label.len() as u8);
            message.extend(*label);
        }
        message.push(0);
        message.extend(record_type.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn each_dot_of_a_name_ends_a_label_whatever_is_in_it() {
        for (labels, name) in [
            (&[&b"WWW"[..], b"Example", b"com"][..], "www.example.com"),
            (&[b"a.b", b"com"], "a\\046b.com"),
            (&[b"_dmarc", b"x\\y"], "_dmarc.x\\092y"),
            (&[&[0xe9, 0x20, 0], b"t"], "\\233\\032\\000.t"),
        ] {
            let read = asked(&response(labels, 16, 3)).expect("a question");
            assert_eq!((read.name.as_str(), read.record_type, read.rcode), (name, 16, 3));
        }
    }

    #[test]
    fn what_is_no_response_about_a_name_is_about_nothing() {
        assert_eq!(asked(&response(&[], 1, 0)), None);
        let mut query = response(&[b"a"], 1, 0);
        query[2] = 1;
        assert_eq!(asked(&query), None);
        let whole = response(&[b"a"], 1, 0);
        assert!((0..whole.len()).all(|end| asked(&whole[..end]).is_none()));
    }
}
