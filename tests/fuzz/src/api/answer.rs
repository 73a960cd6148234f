//! An HTTP answer as it stands on the wire.

/// One answer.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    /// Its content type.
    pub kind: Option<&'a str>,
    pub body: Vec<u8>,
}

impl<'a> Answer<'a> {
    /// The first of `bytes`, and what follows it; `None` where it is not whole.
    pub fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 4..]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let headers: Vec<_> = lines.map_while(|line| line.split_once(": ")).collect();
        let header = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let (body, rest) = if header("transfer-encoding") == Some("chunked") {
            chunks(rest)?
        } else if let Some(length) = header("content-length") {
            let (body, rest) = rest.split_at_checked(length.parse().ok()?)?;
            (body.to_vec(), rest)
        } else {
            // HTTP/1.0: a stream ends with its connection.
            (rest.to_vec(), &rest[..0])
        };
        Some((Self { status, kind: header("content-type"), body }, rest))
    }
}

fn chunks(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        let (chunk, after) = rest[line + 2..].split_at_checked(length)?;
        rest = after.strip_prefix(b"\r\n")?;
        if length == 0 {
            return Some((body, rest));
        }
        body.extend(chunk);
    }
}
