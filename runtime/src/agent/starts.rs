//! Where the CNI plugin asks whether a pod may start, and gets its answer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use egret_cni::{Answer, LONGEST, Start};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::reconcile::Change;
use crate::api::{ListenError, SocketFile, listen_on};

/// Pods that start at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 256;
/// How long the plugin may take to say which pod it is about.
const SAID: Duration = Duration::from_secs(5);
/// How long the answer may take; by then the reconciling task has given one.
const ANSWERED: Duration = Duration::from_secs(25);

/// Where the plugin asks an agent whose API has this socket.
pub fn socket(api: &Path) -> PathBuf {
    api.with_file_name("cni.sock")
}

/// Listens for as long as what it returns lives; only root can ask.
///
/// # Errors
/// The place is taken, or the system refuses.
pub fn listen(socket: &Path, changes: Sender<Change>) -> Result<SocketFile, ListenError> {
    let (listener, file) = listen_on(socket)?;
    tokio::spawn(serve(listener, changes));
    Ok(file)
}

async fn serve(listener: UnixListener, changes: Sender<Change>) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => match accepted {
                // Who breaks off asks again.
                Ok((stream, _)) => drop(open.spawn(answer(stream, changes.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            () = changes.closed() => return,
        }
    }
}

async fn answer(mut stream: UnixStream, changes: Sender<Change>) -> std::io::Result<()> {
    let (asking, mut answering) = stream.split();
    let mut line = String::new();
    let mut asking = BufReader::new(asking.take(LONGEST as u64));
    timeout(SAID, asking.read_line(&mut line)).await??;
    let mut start: Start = serde_json::from_str(&line)?;
    start.netns = as_here(start.netns);
    let (reply, replied) = oneshot::channel();
    if changes.send(Change::Start(start, reply)).await.is_err() {
        return Ok(());
    }
    let Ok(Ok(answer)) = timeout(ANSWERED, replied).await else { return Ok(()) };
    let answer: Answer = answer;
    let line = format!("{}\n", serde_json::to_string(&answer)?);
    answering.write_all(line.as_bytes()).await
}

/// On the node `/var/run` is another name of `/run`, which there need not be where the agent is.
fn as_here(path: PathBuf) -> PathBuf {
    path.strip_prefix("/var/run").map(|rest| Path::new("/run").join(rest)).unwrap_or(path)
}
