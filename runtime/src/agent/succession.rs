//! One agent after another: what only one of a node may have, and how the next one gets it.
//!
//! Of all that an agent has, the kernel takes two things away with the process: the gate, and the entries of HOLD. With
//! `--take-over` the next agent loads its programs and modules beside the one that runs, then asks it for both descriptors.
//! That one answers what it has on hold, writes down what is in force and hands them over. Meanwhile packets and answers
//! on hold wait in the gate and in ANSWERS, for whoever reads next. The one before ends once the next one has put programs
//! of its own on the gate. Until it asks, the next one may fail, and nothing has changed.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use egret_abi::ABI_VERSION;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream as Connection};
use tokio::time::timeout;
use tracing::{info, warn};

use super::Config;
use crate::api::{SocketFile, listen_on};
use crate::kernel::{Gate, KernelError, Tier};

/// How long the agent that runs may take to answer what it has on hold.
const HANDED_WITHIN: Duration = Duration::from_secs(15);
/// How long a request may take to arrive, and the next agent to say that it has the gate.
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// How long the next agent may take to load what it needs.
const PREPARED_WITHIN: Duration = Duration::from_secs(120);
const TRY_AGAIN: Duration = Duration::from_millis(50);
const GATE_TRIES: u32 = 100;
/// The answer with both descriptors.
const HANDED: u8 = 1;
/// The one of an agent that ends, for it works with other programs.
const ENDED: u8 = 2;
/// The one of an agent that works with the same, and waits to be asked again.
const ALIKE: u8 = 3;

/// What only one agent has; let go when dropped.
pub struct Locks {
    state: File,
    path: PathBuf,
    pins: Option<File>,
}

/// The agent before this one.
pub enum Before {
    /// None runs.
    Nobody,
    /// It ended for this one, with all that it had.
    Ended,
    /// It runs, and waits for [`Before::hand`].
    Waits(UnixStream),
    /// It handed over, and waits for [`Before::may_end`].
    Handed {
        /// Its end of the gate, until it is taken.
        gate: Option<OwnedFd>,
        /// HOLD of its programs, whose entries stay as long as this does.
        _hold: OwnedFd,
        /// As long as this is open, it waits.
        until: Option<UnixStream>,
    },
}

/// Locks the state folder; with `takeOver`, an agent that runs there has it until [`Before::hand`].
pub fn begin(config: &Config, tier: Tier) -> anyhow::Result<(Locks, Before)> {
    let folder = &config.state_dir;
    fs::create_dir_all(folder).with_context(|| format!("make the state folder {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let state = file.with_context(|| format!("open {}", path.display()))?;
    let mut locks = Locks { state, path, pins: None };
    if is_locked(&locks.state, &locks.path)? {
        return Ok((locks, Before::Nobody));
    }
    ensure!(
        config.take_over,
        "another agent uses the folder {}; stop it first, or take over from it with --take-over",
        folder.display()
    );
    let before = ask(&socket(folder), tier)?;
    if matches!(before, Before::Ended) {
        locks.lock_state()?;
    }
    Ok((locks, before))
}

impl Locks {
    fn lock_state(&mut self) -> anyhow::Result<()> {
        let is_free = is_locked(&self.state, &self.path)?;
        ensure!(is_free, "the agent that has locked {} has not let it go; stop it", self.path.display());
        Ok(())
    }

    /// Locks the folder of pins too: the maps there may be those of an agent with another state folder.
    pub fn lock_pins(&mut self, bpffs: &Path) -> anyhow::Result<()> {
        let file = File::open(bpffs).with_context(|| format!("open {}", bpffs.display()))?;
        let is_free = is_locked(&file, bpffs)?;
        ensure!(is_free, "another agent uses the folder {}; stop it first", bpffs.display());
        self.pins = Some(file);
        Ok(())
    }
}

/// Locks `file` for as long as it lives; false: somebody else has.
fn is_locked(file: &File, path: &Path) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

impl Before {
    /// Whether it runs still, so that what can be prepared should be.
    pub fn runs(&self) -> bool {
        matches!(self, Self::Waits(_))
    }

    /// Has it hand over, where it runs.
    pub fn hand(self, locks: &mut Locks) -> anyhow::Result<Self> {
        let Self::Waits(mut stream) = self else { return Ok(self) };
        let asked = stream.write_all(&[HANDED]).and_then(|()| receive(&stream));
        let (answer, mut given) = asked.context("the agent before does not hand over")?;
        let (HANDED, Some(hold), Some(gate)) = (answer, given.pop(), given.pop()) else {
            anyhow::bail!("the agent before did not hand over; stop it first");
        };
        info!("the agent before handed over what is on hold");
        locks.lock_state()?;
        Ok(Self::Handed { gate: Some(gate), _hold: hold, until: Some(stream) })
    }

    /// Whether it handed over: then HOLD is not to be empty at any time.
    pub fn has_handed(&self) -> bool {
        matches!(self, Self::Handed { .. })
    }

    /// The gate: that of the agent before, or a new one.
    pub fn gate(&mut self) -> Result<Gate, KernelError> {
        // The kernel takes the gate of a process that ends a moment after its word is heard.
        let tries = if matches!(self, Self::Ended) { GATE_TRIES } else { 0 };
        if let Self::Handed { gate, .. } = self
            && let Some(gate) = gate.take()
        {
            return Gate::inherit(gate);
        }
        for _ in 0..tries {
            match Gate::claim() {
                Err(_) => std::thread::sleep(TRY_AGAIN),
                gate => return gate,
            }
        }
        Gate::claim()
    }

    /// This one has the gate, and programs on it.
    pub fn may_end(&mut self) {
        if let Self::Handed { until, .. } = self {
            *until = None;
        }
    }
}

fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("take-over.sock")
}

/// Which programs an agent works with: others cannot go on with what is on hold.
fn kind(tier: Tier) -> [u8; 5] {
    let [a, b, c, d] = ABI_VERSION.to_le_bytes();
    [a, b, c, d, u8::from(tier == Tier::Tcx)]
}

/// Asks the agent at `path` whether it can hand over.
fn ask(path: &Path, tier: Tier) -> anyhow::Result<Before> {
    let told = || format!("ask the agent that runs to hand over, at {}", path.display());
    let mut stream = UnixStream::connect(path).with_context(told)?;
    stream.set_read_timeout(Some(HANDED_WITHIN))?;
    stream.write_all(&kind(tier)).with_context(told)?;
    match receive(&stream).with_context(told)?.0 {
        ALIKE => Ok(Before::Waits(stream)),
        ENDED => {
            info!("the agent before, of another version or tier, has ended");
            // The other end is open as long as that process is.
            let _ = stream.read(&mut [0]);
            Ok(Before::Ended)
        }
        _ => anyhow::bail!("the agent at {} does not hand over; stop it first", path.display()),
    }
}

fn receive(stream: &UnixStream) -> std::io::Result<(u8, Vec<OwnedFd>)> {
    let mut answer = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut answer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let given = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(given) => Some(given),
        _ => None,
    });
    Ok((answer[0], given.flatten().collect()))
}

/// Where the next agent asks.
pub struct Offer {
    listener: UnixListener,
    _file: SocketFile,
    kind: [u8; 5],
}

impl Offer {
    /// Listens, for root alone.
    pub fn listen(state_dir: &Path, tier: Tier) -> anyhow::Result<Self> {
        let (listener, file) = listen_on(&socket(state_dir))?;
        Ok(Self { listener, _file: file, kind: kind(tier) })
    }

    /// Until the next agent asks.
    pub async fn asked(&self) -> Successor {
        loop {
            match self.listener.accept().await {
                Ok((connection, _)) => match self.read(connection).await {
                    Some(successor) => return successor,
                    None => warn!("somebody wanted to take over, and did not ask for it as an agent does"),
                },
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn read(&self, mut connection: Connection) -> Option<Successor> {
        let is_own =
            connection.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw());
        let mut kind = [0; 5];
        timeout(ASKED_WITHIN, connection.read_exact(&mut kind)).await.ok()?.ok().filter(|_| is_own)?;
        let is_alike = kind == self.kind;
        if is_alike {
            connection.write_all(&[ALIKE]).await.ok()?;
            info!("the next agent is there, and loads its programs");
            timeout(PREPARED_WITHIN, connection.read_u8()).await.ok()?.ok()?;
        }
        let stream = connection.into_std().ok()?;
        stream.set_nonblocking(false).ok()?;
        Some(Successor { stream, is_alike })
    }
}

/// The next agent, which waits.
pub struct Successor {
    stream: UnixStream,
    /// Whether it works with the same programs.
    pub is_alike: bool,
}

impl Successor {
    /// Lets the locks go, and hands over `gate` and `hold`; returns when the next agent has put its programs on the gate.
    pub fn hand(self, locks: Locks, gate: BorrowedFd<'_>, hold: BorrowedFd<'_>) -> anyhow::Result<()> {
        drop(locks);
        self.send(HANDED, &[gate, hold])?;
        self.stream.set_read_timeout(Some(ASKED_WITHIN))?;
        match (&self.stream).read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                warn!("the next agent has the gate, and no programs on it yet");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Says that this agent ends, with all that it has.
    pub fn end(self, locks: Locks) -> anyhow::Result<()> {
        drop(locks);
        self.send(ENDED, &[])?;
        // It is closed by the end of the process.
        std::mem::forget(self.stream);
        Ok(())
    }

    fn send(&self, answer: u8, given: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !given.is_empty() {
            ensure!(control.push(SendAncillaryMessage::ScmRights(given)), "two descriptors have no room");
        }
        let stream = self.stream.as_fd();
        sendmsg(stream, &[IoSlice::new(&[answer])], &mut control, SendFlags::NOSIGNAL)
            .context("answer the next agent")?;
        Ok(())
    }
}
