//! Where this machine has Debian from, as apt's own files say: one line per source, or paragraphs of fields (deb822).

use std::{fs, path::Path};

/// Suites of Debian itself; its updates and its security fixes lie under other names, partly elsewhere.
const SUITES: [&str; 8] =
    ["bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"];

/// The first mirror that apt's files name.
pub fn mirror() -> Option<String> {
    let folder = Path::new("/etc/apt");
    let parts = fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten();
    let mut files: Vec<_> = parts.map(|part| part.path()).collect();
    files.sort();
    files.insert(0, folder.join("sources.list"));
    files.iter().find_map(|file| {
        let text = fs::read_to_string(file).ok()?;
        match file.extension()?.to_str()? {
            "list" => in_lines(&text),
            "sources" => in_paragraphs(&text),
            _ => None,
        }
    })
}

/// `deb [OPTIONS] URI SUITE COMPONENT...`
fn in_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let (uri, suite) = (words.next()?, words.next()?);
        chosen(uri, &[suite], &words.collect::<Vec<_>>())
    })
}

/// `Types: deb`, `URIs: ...`, `Suites: ...`, `Components: ...`, and an empty line after each source.
fn in_paragraphs(text: &str) -> Option<String> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).find_map(|paragraph| {
        let words = |field: &str| -> Vec<&str> {
            let fields = paragraph.iter().filter_map(|line| line.split_once(':'));
            let mut values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(field));
            values.next().map(|(_, value)| value.split_whitespace().collect()).unwrap_or_default()
        };
        if !words("Types").contains(&"deb") || words("Enabled") == ["no"] {
            return None;
        }
        words("URIs").into_iter().find_map(|uri| chosen(uri, &words("Suites"), &words("Components")))
    })
}

fn chosen(uri: &str, suites: &[&str], components: &[&str]) -> Option<String> {
    let debian = components.contains(&"main") && suites.iter().any(|suite| SUITES.contains(suite));
    (debian && uri.starts_with("http")).then(|| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_is_found_in_both_forms_and_told_from_other_sources() {
        let mirror = Some("http://mirror.example/debian".to_owned());
        let lines = [
            ("deb http://mirror.example/debian bookworm main", mirror.clone()),
            (
                "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian/ sid main contrib",
                Some("http://mirror.example/debian/".into()),
            ),
            (
                "# deb http://old.example/debian bookworm main\ndeb  http://mirror.example/debian  stable  main",
                mirror.clone(),
            ),
            (
                "deb http://sec.example/debian-security bookworm-security main\ndeb http://mirror.example/debian bookworm main",
                mirror.clone(),
            ),
            ("deb http://vendor.example/apt cloud-sdk-bookworm main", None),
            ("deb-src http://mirror.example/debian bookworm main", None),
            ("deb cdrom:[Debian]/ bookworm main", None),
            ("", None),
        ];
        for (text, expected) in lines {
            assert_eq!(in_lines(text), expected, "{text}");
        }
        let paragraphs = [
            (
                "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n",
                mirror.clone(),
            ),
            (
                "Types: deb\nURIs: http://sec.example/\nSuites: bookworm-security\nComponents: main\n\n\
                 types: deb deb-src\n# of a comment\nuris: http://mirror.example/debian\nsuites: trixie\ncomponents: main\n",
                mirror,
            ),
            ("Enabled: no\nTypes: deb\nURIs: http://a.example/\nSuites: sid\nComponents: main\n", None),
            ("Types: deb\nURIs: http://node.example/\nSuites: nodistro\nComponents: main\n", None),
        ];
        for (text, expected) in paragraphs {
            assert_eq!(in_paragraphs(text), expected, "{text}");
        }
    }
}
