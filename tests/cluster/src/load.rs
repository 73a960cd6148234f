//! Connections and look-ups of a pod, at a steady pace, and what became of them.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt;

use crate::Pod;

/// How long one attempt may take: an answer or a SYN that is lost is sent again by then.
const LIMIT: Duration = Duration::from_secs(5);
/// The service that resolves names.
const RESOLVER: &str = "10.96.0.10:53";

/// What became of all attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Connections that policies allow, and that were made.
    pub connected: u64,
    /// Those that were not.
    pub failed: u64,
    /// Connections that policies deny, and that were refused.
    pub refused: u64,
    /// Those that were made.
    pub escaped: u64,
    /// Look-ups that were answered.
    pub answered: u64,
    /// Those that were not.
    pub unanswered: u64,
}

/// Load that runs until it is ended.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Seen>>>,
}

impl Load {
    /// Begins, out of `pod`: connections to each of `allowed` in turn, `connections` a second; to `denied`, a tenth as many; and
    /// `look_ups` of `name` a second.
    #[must_use]
    pub fn begin(
        pod: &Pod,
        allowed: &[SocketAddr],
        denied: SocketAddr,
        name: &str,
        pace: (u32, u32),
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (connections, look_ups) = pace;
        let mut threads = Vec::new();
        // Two of them, for one would be late where a connection takes long.
        for at in 0..2 {
            let allowed: Vec<_> = allowed.to_vec();
            threads.push(paced(pod, &stop, connections / 2, move || {
                let mut turn = at;
                move |seen: &mut Seen| {
                    turn += 1;
                    match connect(allowed[turn % allowed.len()]) {
                        true => seen.connected += 1,
                        false => seen.failed += 1,
                    }
                    Ok(())
                }
            }));
        }
        threads.push(paced(pod, &stop, connections / 10, move || {
            move |seen: &mut Seen| {
                match connect(denied) {
                    true => seen.escaped += 1,
                    false => seen.refused += 1,
                }
                Ok(())
            }
        }));
        let name = name.to_owned();
        threads.push(paced(pod, &stop, look_ups, move || {
            let mut id = 0u16;
            move |seen: &mut Seen| {
                id = id.wrapping_add(1);
                match look_up(&name, id)? {
                    true => seen.answered += 1,
                    false => seen.unanswered += 1,
                }
                Ok(())
            }
        }));
        Self { stop, threads }
    }

    /// Ends it; what became of all.
    ///
    /// # Errors
    /// An attempt could not be made.
    pub fn end(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().map_err(|_| anyhow::anyhow!("a thread of the load panicked"))??;
            all.connected += seen.connected;
            all.failed += seen.failed;
            all.refused += seen.refused;
            all.escaped += seen.escaped;
            all.answered += seen.answered;
            all.unanswered += seen.unanswered;
        }
        Ok(all)
    }
}

/// Attempts on a thread in the pod's network, so many a second where they are quick enough.
fn paced<A: FnMut(&mut Seen) -> Result<()>>(
    pod: &Pod,
    stop: &Arc<AtomicBool>,
    per_second: u32,
    attempts: impl FnOnce() -> A + Send + 'static,
) -> JoinHandle<Result<Seen>> {
    let (netns, stop) = (pod.netns.clone(), stop.clone());
    thread::spawn(move || {
        netns.run(|| {
            let (mut attempt, mut seen) = (attempts(), Seen::default());
            let pause = Duration::from_secs(1) / per_second.max(1);
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                attempt(&mut seen)?;
                next += pause;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(seen)
        })?
    })
}

/// Ended by a reset, so that its port can be used again at once.
fn connect(to: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect_timeout(&to, LIMIT) else { return false };
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).is_ok()
}

/// Asks, as resolvers do: once more where no answer comes.
fn look_up(name: &str, id: u16) -> Result<bool> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(RESOLVER)?;
    socket.set_read_timeout(Some(LIMIT / 2))?;
    let question = question(name, id)?;
    let mut answer = [0; 512];
    for _ in 0..2 {
        socket.send(&question)?;
        if let Ok(length) = socket.recv(&mut answer) {
            let is_it = answer[..2] == id.to_be_bytes() && answer[7] > 0;
            return Ok(length > 12 && is_it);
        }
    }
    Ok(false)
}

/// For the IPv4 addresses of a name.
fn question(name: &str, id: u16) -> Result<Vec<u8>> {
    let mut bytes = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    for label in name.split('.') {
        ensure!((1..64).contains(&label.len()), "{name} is no name");
        bytes.push(u8::try_from(label.len()).context("a label")?);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    Ok(bytes)
}
