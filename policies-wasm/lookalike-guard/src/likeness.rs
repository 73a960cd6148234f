//! When one name looks like another.

/// Whether `name`, which is not `protected` nor below it, is meant to be taken for it.
pub fn imitates(name: &str, protected: &str) -> bool {
    let labels: Vec<&str> = name.split('.').collect();
    let wanted: Vec<&str> = protected.split('.').collect();
    // `example.com.login.test` and `login.example.com.test`.
    if labels.windows(wanted.len()).any(|part| part == wanted) {
        return true;
    }
    let Some((first, rest)) = wanted.split_first() else { return false };
    // As many labels at the end as the protected name has: `www.examp1e.com` for `example.com`.
    let Some(end) = labels.len().checked_sub(wanted.len()) else { return false };
    let (own, own_rest) = (labels[end], &labels[end + 1..]);
    let in_other_letters = own.starts_with("xn--");
    let similar = if in_other_letters { hidden(own, first) } else { alike(own, first) };
    // The same word under another ending is common and harmless, so what follows must be the same.
    own != *first && own_rest == rest && similar
}

/// What is left of a label in other letters, once these are taken out, is the protected one with some letters missing:
/// `xn--exmple-qta` keeps `exmple` of `exämple`.
fn hidden(label: &str, protected: &str) -> bool {
    let plain = label.trim_start_matches("xn--");
    let Some((plain, _)) = plain.rsplit_once('-') else { return false };
    let missing = protected.len().saturating_sub(plain.len());
    let mut letters = protected.chars();
    let in_order = plain.chars().all(|c| letters.any(|letter| letter == c));
    plain.len() >= 3 && missing <= 2 && in_order
}

/// The same once digits and pairs that look like letters are read as these; or one letter wrong, missing, too many, or
/// two in the wrong order. Short words have too many neighbours for that.
fn alike(own: &str, protected: &str) -> bool {
    let (own, protected) = (skeleton(own), skeleton(protected));
    own == protected || protected.len() >= 6 && is_one_slip_away(own.as_bytes(), protected.as_bytes())
}

fn skeleton(label: &str) -> String {
    let mut text = label.replace("rn", "m").replace("vv", "w").replace("cl", "d");
    for (digit, letter) in
        [('0', 'o'), ('1', 'l'), ('i', 'l'), ('3', 'e'), ('5', 's'), ('-', ' '), ('_', ' ')]
    {
        text = text.replace(digit, &letter.to_string());
    }
    text.replace(' ', "")
}

fn is_one_slip_away(own: &[u8], other: &[u8]) -> bool {
    let same = own.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (own, other) = (&own[same..], &other[same..]);
    match (own, other) {
        ([], []) => true,
        ([a, b, own @ ..], [c, d, other @ ..]) if (a, b) == (d, c) && own == other => true,
        ([_, own @ ..], [_, other @ ..]) if own == other => true,
        ([_, own @ ..], other) if own == other => true,
        (own, [_, other @ ..]) if own == other => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_protected_name_is_told_from_what_does_not() {
        for (name, expected) in [
            ("examp1e.com", true),
            ("exarnple.com", true),
            ("ex-ample.com", true),
            ("exmaple.com", true),
            ("exampl.com", true),
            ("examplee.com", true),
            ("exanple.com", true),
            ("www.examp1e.com", true),
            ("example.com.login.test", true),
            ("xn--exmple-qta.com", true),
            ("sample.com", false),
            ("example.net", false),
            ("other.test", false),
            ("com", false),
            ("xn--bcher-kva.com", false),
        ] {
            assert_eq!(imitates(name, "example.com"), expected, "{name}");
        }
        assert!(!imitates("eat.com", "ebt.com"), "short words have too many neighbours");
    }
}
