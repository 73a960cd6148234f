//! HTTP/1.1 over a unix socket or TCP, as much as the agent's API needs: one GET per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long a server may be silent.
const LIMIT: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// GETs `target` (path and query, encoded) from the server behind `socket`.
pub(super) fn get(socket: &Path, target: &str) -> Result<Answer> {
    let stream =
        UnixStream::connect(socket).with_context(|| format!("nobody listens on {}", socket.display()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    get_over(stream, target)
}

/// GETs `target` from the server at `address`, which the calling thread can reach.
pub(super) fn get_over_tcp(address: SocketAddr, target: &str) -> Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    get_over(stream, target)
}

/// GETs `target`, whose answer goes on: its lines as they come. HTTP/1.0 has no chunks, so they are the body as it is.
pub(super) fn follow(socket: &Path, target: &str) -> Result<impl Iterator<Item = Result<String>> + use<>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next().context("no answer")??;
    ensure!(status.contains(" 200 "), "GET {target}: {status}");
    while !lines.next().context("no end of the header")??.is_empty() {}
    Ok(lines.map(|line| line.context("the answer broke off")))
}

fn get_over(mut stream: impl Read + Write, target: &str) -> Result<Answer> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).with_context(|| format!("GET {target}: not an HTTP answer"))
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").context("no end of the header")?;
    let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let rest = &bytes[end + 4..];
    let chunked = head.lines().any(|line| line.replace(' ', "") == "transfer-encoding:chunked");
    let body = if chunked { join_chunks(rest)? } else { rest.to_vec() };
    Ok(Answer { status, body })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").context("a chunk without its length")?;
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end])?, 16)?;
        if length == 0 {
            return Ok(body);
        }
        rest = &rest[end + 2..];
        ensure!(rest.len() >= length + 2, "a chunk is cut short");
        body.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}

/// `text` as a query's value.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_whole_however_it_travels() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".as_slice();
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n".as_slice();
        for bytes in [plain, chunked] {
            let answer = parse(bytes).expect("an answer");
            assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok".as_slice()));
        }
        assert!(parse(&chunked[..chunked.len() - 10]).is_err(), "a cut body is an error");
    }

    #[test]
    fn what_means_something_in_a_query_is_encoded() {
        assert_eq!(encode("[2001:db8::1]:443/TCP"), "%5B2001%3Adb8%3A%3A1%5D%3A443%2FTCP");
    }
}
