//! Numbers for a person: 999, 1.2k, 34M; 999 B, 1.2 KiB.

/// A count in at most four characters and a letter, powers of 1000.
pub(super) fn count(number: u64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// A size in bytes, powers of 1024.
pub(super) fn bytes(number: u64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// `one` thing, or so many of `many`.
pub(super) fn of(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

#[expect(clippy::cast_precision_loss, reason = "a person reads two digits")]
fn scaled(number: u64, step: f64, units: &[&str]) -> String {
    let mut left = number as f64;
    let mut units = units.iter().copied().peekable();
    let mut unit = units.next().unwrap_or_default();
    // What rounds up to a whole step is told in the next unit: 999,999 is 1.0M, not 1000k.
    while left.round() >= step
        && let Some(larger) = units.next()
    {
        left /= step;
        unit = larger;
    }
    let tenth = number as f64 >= step && left < 9.95;
    if tenth { format!("{left:.1}{unit}") } else { format!("{left:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_near() {
        for (number, as_count, as_bytes) in [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1_000, "1.0k", "1000 B"),
            (1_024, "1.0k", "1.0 KiB"),
            (9_949, "9.9k", "9.7 KiB"),
            (9_951, "10k", "9.7 KiB"),
            (999_499, "999k", "976 KiB"),
            (999_999, "1.0M", "977 KiB"),
            (1_048_576, "1.0M", "1.0 MiB"),
            (u64::MAX, "18E", "16 EiB"),
        ] {
            assert_eq!((count(number).as_str(), bytes(number).as_str()), (as_count, as_bytes), "{number}");
        }
    }
}
