//! Text that a module wrote and people read.

/// `text`, cut so that it has at most `most` bytes and is whole characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// `text` in one line, at most `most` bytes of it: what moves a cursor, turns the direction of text or cannot be seen is
/// escaped, for it goes to terminals and logs.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    // Of what a person can see, Rust escapes these three alone.
    let unseen = |c: &char| !matches!(c, '\'' | '"' | '\\') && c.escape_debug().len() > 1;
    let mut line = String::new();
    for c in text.chars() {
        let start = line.len();
        if unseen(&c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > most {
            line.truncate(start);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_the_rest_is_cut() {
        for (text, most, expected) in [
            ("plain \"text\"", 100, "plain \"text\""),
            ("a\u{1b}[2Jb\nc", 100, "a\\u{1b}[2Jb\\nc"),
            ("\u{202e}abc", 100, "\\u{202e}abc"),
            ("ääää", 5, "ää"),
            ("a\nb", 2, "a"),
            ("", 0, ""),
        ] {
            assert_eq!(shown(text, most), expected);
        }
        assert_eq!(cut("ääää", 5), "ää");
    }
}
