//! What a DNS message asks: by this an answer over TCP is found to be to a question of the workload's own, as the kernel
//! program does it over UDP.

/// The id of a message, and its one question: name in lower case, type and class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    id: [u8; 2],
    asked: Vec<u8>,
}

const HEADER: usize = 12;
/// Type and class, behind the name.
const TAIL: usize = 4;
const NAME_MAX: usize = 255;
const RESPONSE: u8 = 0x80;

impl Question {
    /// The question of `message`, which is a query, or an answer where `is_answer` says so. `None` where it is not, has
    /// not exactly one question, or its name is compressed or too long.
    #[must_use]
    pub fn of(message: &[u8], is_answer: bool) -> Option<Self> {
        let [i, d, flags, _, 0, 1, ..] = *message.get(..HEADER)? else { return None };
        if (flags & RESPONSE != 0) != is_answer {
            return None;
        }
        let rest = &message[HEADER..];
        let mut end = 0;
        loop {
            let label = usize::from(*rest.get(end)?);
            end += 1 + label;
            if label > 63 || end > NAME_MAX {
                return None;
            }
            if label == 0 {
                break;
            }
        }
        let mut asked = rest.get(..end + TAIL)?.to_vec();
        asked[..end].make_ascii_lowercase();
        Some(Self { id: [i, d], asked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u8, flags: u8, question: &[u8]) -> Vec<u8> {
        [&[0, id, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat()
    }

    const A: &[u8] = b"\x01a\x07example\0\0\x01\0\x01";

    #[test]
    fn a_question_is_the_same_in_any_case_and_differs_by_id_name_type_and_class() {
        let question = Question::of(&message(7, 1, A), false).unwrap();
        let same = [(7, &b"\x01A\x07eXaMple\0\0\x01\0\x01"[..])];
        let others = [
            (8, A),
            (7, b"\x01b\x07example\0\0\x01\0\x01"),
            (7, b"\x01a\x07example\0\0\x1c\0\x01"),
            (7, b"\x01a\x07example\0\0\x01\0\x03"),
        ];
        for (id, asked) in same {
            assert_eq!(Question::of(&message(id, 0x81, asked), true).as_ref(), Some(&question));
        }
        for (id, asked) in others {
            assert_ne!(Question::of(&message(id, 0x81, asked), true).unwrap(), question);
        }
    }

    #[test]
    fn what_has_not_one_plain_question_of_the_expected_side_is_none() {
        let mut two = message(7, 1, A);
        two[5] = 2;
        let mut none = message(7, 1, A);
        none[5] = 0;
        let long = [&[63; 64][..], &[63; 64], &[63; 64], &[63; 64], &[0, 0, 1, 0, 1]].concat();
        for (message, is_answer) in [
            (two, false),
            (none, false),
            (message(7, 1, A), true),
            (message(7, 0x81, A), false),
            (message(7, 1, &A[..A.len() - 1]), false),
            (message(7, 1, b"\xc0\x0c\0\x01\0\x01"), false),
            (message(7, 1, &long), false),
            (vec![0; 11], false),
            (vec![], false),
        ] {
            assert_eq!(Question::of(&message, is_answer), None, "{message:02x?}");
        }
    }
}
