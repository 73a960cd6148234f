//! A DNS answer as cases write it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::DnsAnswer;
use crate::cases::Sketch;

/// A DNS answer in which everything may be left out but the name. Workload and time are those of the attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LookUp {
    /// The name that was asked for.
    pub name: String,
    /// The type of record, `A`, `AAAA`, `TXT` or another by its number; else `A`.
    #[serde(rename = "type", default)]
    pub record_type: RecordType,
    /// The response code; else 0, no error.
    #[serde(default)]
    pub code: u8,
    /// Bytes of the message; else 100.
    #[serde(default = "a_hundred")]
    pub size: u32,
    /// The addresses that the name leads to; else none.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

fn a_hundred() -> u32 {
    100
}

/// A type of record, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RecordType(pub u16);

impl Default for RecordType {
    fn default() -> Self {
        Self(1)
    }
}

const WORDS: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("NULL", 10),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
];

impl From<RecordType> for String {
    fn from(record_type: RecordType) -> Self {
        let word = WORDS.iter().find(|(_, number)| *number == record_type.0);
        word.map_or_else(|| record_type.0.to_string(), |(word, _)| (*word).to_owned())
    }
}

impl TryFrom<String> for RecordType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let word = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        match word {
            Some((_, number)) => Ok(Self(*number)),
            None => text.parse().map(Self).map_err(|_| {
                let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
                format!("`{text}` is not {} or a number", words.join(", "))
            }),
        }
    }
}

impl LookUp {
    /// The answer, to the workload and at the time of `attempt`.
    #[must_use]
    pub fn answer(&self, attempt: &Sketch) -> DnsAnswer {
        DnsAnswer {
            workload: attempt.workload.workload(),
            name: self.name.strip_suffix('.').unwrap_or(&self.name).to_ascii_lowercase(),
            record_type: self.record_type.0,
            response_code: self.code,
            size: self.size,
            addresses: self.addresses.clone(),
            time: attempt.milliseconds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_record_is_a_word_or_a_number() {
        for (text, number, word) in [("txt", 16, "TXT"), ("AAAA", 28, "AAAA"), ("65", 65, "65")] {
            let read = RecordType::try_from(text.to_owned()).expect("known");
            assert_eq!((read.0, String::from(read)), (number, word.to_owned()));
        }
        assert!(RecordType::try_from("TEXT".to_owned()).expect_err("unknown").contains("TXT"));
    }
}
