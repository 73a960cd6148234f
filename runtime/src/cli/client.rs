//! Asking the agent: HTTP over its unix socket.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::agent::DEFAULT_SOCKET;
use crate::api::Trouble;

use super::Exit;
use super::exit::Failure;

/// How long the agent may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that is kept whole.
const LARGEST: usize = 64 * 1024 * 1024;
/// Bytes of one line of a stream.
const LONGEST_LINE: usize = 1024 * 1024;

/// `--socket`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SocketArg {
    /// The agent's unix socket [env: EGRET_SOCKET] [default: /run/egret/egret.sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketArg {
    /// The client of the agent behind the socket: the flag's, the environment's or the default.
    pub fn client(self) -> Client {
        let from_environment = || std::env::var_os("EGRET_SOCKET").filter(|path| !path.is_empty());
        let socket = self.socket.or_else(|| from_environment().map(PathBuf::from));
        Client { socket: socket.unwrap_or_else(|| DEFAULT_SOCKET.into()) }
    }
}

/// Asks one agent.
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    /// The whole answer to a GET of `target`.
    pub async fn get(&self, target: &str) -> Result<Bytes, Failure> {
        let response = self.ask(target).await?;
        let status = response.status();
        let body = read(&self.socket, response.into_body()).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(refusal(status, &body)) }
    }

    /// The lines of an answer, as they come.
    pub async fn lines(&self, target: &str) -> Result<Lines, Failure> {
        let response = self.ask(target).await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(refusal(status, &read(&self.socket, response.into_body()).await?));
        }
        Ok(Lines { socket: self.socket.clone(), body: response.into_body(), read: Vec::new() })
    }

    async fn ask(&self, target: &str) -> Result<Response<Incoming>, Failure> {
        let silent = || {
            let error = format!("the agent behind {} did not answer within 5 s", self.socket.display());
            Failure::with_fix(
                Exit::Unreachable,
                error,
                "look at its log; it may be starting, stopping or stuck",
            )
        };
        timeout(PATIENCE, self.send(target)).await.map_err(|_| silent())?
    }

    async fn send(&self, target: &str) -> Result<Response<Incoming>, Failure> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|error| unreachable(&self.socket, &error))?;
        let broken = |error| broken_off(&self.socket, &error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Its failure is the failure of the request, which tells it.
        tokio::spawn(connection);
        let request = Request::get(target)
            .header("host", "egret")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Failure::new(Exit::Usage, error))?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// The lines of an answer.
pub(super) struct Lines {
    socket: PathBuf,
    body: Incoming,
    read: Vec<u8>,
}

impl Lines {
    /// The next line, without its end; `None` once the agent has ended its answer.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.read, rest);
                line.pop();
                return Ok(Some(line));
            }
            if self.read.len() > LONGEST_LINE {
                return Err(strange("a line of more than 1 MiB"));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| broken_off(&self.socket, &error))?;
            if let Some(bytes) = frame.data_ref() {
                self.read.extend_from_slice(bytes);
            }
        }
    }
}

/// `text` as the value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' | b':' => {
                encoded.push(byte.into());
            }
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// What the agent's `json` says.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|error| strange(&error.to_string()))
}

async fn read<B>(socket: &Path, body: B) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes, Error = hyper::Error>,
{
    match timeout(4 * PATIENCE, Limited::new(body, LARGEST).collect()).await {
        Err(_) => Err(strange("20 s of it, and no end")),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let fix = "ask for less with --workload or --denied, or take it as it comes with -o json";
            Err(Failure::with_fix(Exit::Failed, "the answer is larger than 64 MiB", fix))
        }
        Ok(Err(error)) => Err(broken_off(socket, error.as_ref())),
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let exit = match status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::NOT_FOUND => Exit::Failed,
        _ => Exit::Unreachable,
    };
    match serde_json::from_slice::<Trouble>(body) {
        Ok(Trouble { error, fix, .. }) => Failure::Told { exit, error, fix },
        Err(_) => strange(&format!("status {status}")),
    }
}

fn unreachable(socket: &Path, error: &std::io::Error) -> Failure {
    let socket = socket.display();
    let (what, fix) = match error.kind() {
        ErrorKind::NotFound => (
            format!("no agent on this host: there is no socket {socket}"),
            "start one as root with `egret agent --config FILE`, or name its socket with --socket or EGRET_SOCKET",
        ),
        ErrorKind::ConnectionRefused => (
            format!("nobody answers on {socket}: the agent has stopped"),
            "start it again as root with `egret agent --config FILE`, and look at its log for why it stopped",
        ),
        ErrorKind::PermissionDenied => (
            format!("not permitted to open {socket}: only root may ask the agent"),
            "run this command as root",
        ),
        _ => (
            format!("cannot reach the agent on {socket}: {error}"),
            "name its socket with --socket or EGRET_SOCKET",
        ),
    };
    Failure::with_fix(Exit::Unreachable, what, fix)
}

fn broken_off(socket: &Path, error: &dyn std::error::Error) -> Failure {
    let error = format!("the agent on {} broke off its answer: {error}", socket.display());
    Failure::with_fix(Exit::Unreachable, error, "try again; where it goes on, look at the agent's log")
}

fn strange(what: &str) -> Failure {
    let fix = "the agent may be of another version: compare `egret --version` with the one that runs";
    Failure::with_fix(Exit::Unreachable, format!("the agent gave an answer that cannot be read: {what}"), fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_survives_its_way() {
        assert_eq!(encode("team/api"), "team/api");
        assert_eq!(encode("[2001:db8::1]:443/TCP"), "%5B2001:db8::1%5D:443/TCP");
        assert_eq!(encode("a b&c=d+é%"), "a%20b%26c%3Dd%2B%C3%A9%25");
    }
}
