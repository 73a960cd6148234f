//! A cpio archive (the "new ASCII format" that the kernel unpacks at its start), written out. No I/O.

/// What the kernel is given to start from.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

impl Archive {
    /// Adds a folder; its parent comes first.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// Adds a file that can be run.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, content);
    }

    /// The whole of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Thirteen numbers of eight hexadecimal digits, the name, the content; name and content padded to four bytes.
    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        let (links, length, name) = (1, content.len() as u32, path.len() as u32 + 1);
        let numbers = [self.files, mode, 0, 0, links, 0, length, 0, 0, 0, 0, name, 0];
        self.bytes.extend(b"070701");
        self.bytes.extend(numbers.iter().flat_map(|number| format!("{number:08X}").into_bytes()));
        self.bytes.extend(path.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_content_starts_at_a_multiple_of_four() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.program("bin/x", b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(text.starts_with("07070100000001000041ED"), "{text}");
        assert_eq!(text.find("hello").map(|at| at % 4), Some(0));
        assert!(text.contains("00000005") && text.contains("bin/x\0"), "{text}");
        assert!(text.trim_end_matches('\0').ends_with("TRAILER!!!"));
        assert_eq!(bytes.len() % 4, 0);
    }
}
