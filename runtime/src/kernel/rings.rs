//! The two rings from the kernel: answers on hold, and events of first packets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use aya::maps::{MapData, RingBuf};
use egret_abi::{AnswerHead, Event};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use zerocopy::FromBytes;

use super::{Doing, KernelError, Pins};

/// Ends the readers that hold a clone of it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<OwnedFd>);

impl Stop {
    /// A stop that was not called yet.
    ///
    /// # Errors
    /// Where the kernel gives no eventfd.
    pub fn new() -> Result<Self, KernelError> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC).doing(|| "make an eventfd".to_owned())?;
        Ok(Self(Arc::new(fd)))
    }

    /// Whether it was called.
    #[must_use]
    pub fn is_called(&self) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// What one of several threads that read from `other` waits with: of those that wait, one is woken for each thing that
    /// there is to read.
    ///
    /// # Errors
    /// Where the kernel gives no epoll.
    pub fn waiter_with(&self, other: impl AsFd) -> io::Result<Waiter> {
        let waiter = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&waiter, other, EventData::new_u64(READ), EventFlags::IN | EventFlags::EXCLUSIVE)?;
        epoll::add(&waiter, &*self.0, EventData::new_u64(STOP), EventFlags::IN)?;
        Ok(Waiter(waiter))
    }

    /// Ends the readers.
    pub fn call(&self) {
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

const READ: u64 = 0;
const STOP: u64 = 1;

/// See [`Stop::waiter_with`].
pub struct Waiter(OwnedFd);

impl Waiter {
    /// Waits until there is something to read, unless another thread was quicker, or the stop is called: true.
    #[must_use]
    pub fn wait(&self) -> bool {
        let mut events = [epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(READ) }; 2];
        match epoll::wait(&self.0, &mut events[..], None) {
            Ok(count) => events[..count.min(2)].iter().any(|event| event.data.u64() == STOP),
            Err(_) => false,
        }
    }
}

/// A ring of the object.
pub struct Ring {
    ring: RingBuf<MapData>,
}

impl Ring {
    /// Opens the ring called `name`.
    ///
    /// # Errors
    /// Where it is not pinned.
    pub fn open(pins: &Pins, name: &str) -> Result<Self, KernelError> {
        let data = MapData::from_pin(pins.map(name)).doing(|| format!("open the ring {name}"))?;
        let ring = aya::maps::Map::RingBuf(data).try_into().doing(|| format!("open the ring {name}"))?;
        Ok(Self { ring })
    }

    /// Hands every record to `each` until `stop` is called, and what is there then. After each wake-up it waits for
    /// `gather` first: at a high rate one wake-up then serves many records.
    pub fn read_until(&mut self, stop: &Stop, gather: Duration, each: impl FnMut(&[u8])) {
        self.read(stop, gather, None, each, || ());
    }

    /// As [`Self::read_until`]; and calls `between` after each record, and at least once `every` so long.
    pub fn read_alive(
        &mut self,
        stop: &Stop,
        every: Duration,
        each: impl FnMut(&[u8]),
        between: impl FnMut(),
    ) {
        self.read(stop, Duration::ZERO, Some(every), each, between);
    }

    fn read(
        &mut self,
        stop: &Stop,
        gather: Duration,
        every: Option<Duration>,
        mut each: impl FnMut(&[u8]),
        mut between: impl FnMut(),
    ) {
        let patience = every.and_then(|every| Timespec::try_from(every).ok());
        let mut is_over = false;
        loop {
            between();
            while let Some(record) = self.ring.next() {
                each(&record);
                between();
            }
            if is_over {
                return;
            }
            let mut fds = [
                PollFd::new(&self.ring, PollFlags::IN),
                PollFd::from_borrowed_fd(stop.0.as_fd(), PollFlags::IN),
            ];
            is_over = poll(&mut fds, patience.as_ref()).is_ok() && !fds[1].revents().is_empty();
            if !is_over && !gather.is_zero() {
                std::thread::sleep(gather);
            }
        }
    }
}

/// A record of ANSWERS: its head, and the frame.
#[must_use]
pub fn answer(record: &[u8]) -> Option<(AnswerHead, &[u8])> {
    let (head, rest) = AnswerHead::read_from_prefix(record).ok()?;
    let length = usize::try_from(head.length).ok()?;
    Some((head, rest.get(..length)?))
}

/// A record of EVENTS.
#[must_use]
pub fn event(record: &[u8]) -> Option<Event> {
    Event::read_from_prefix(record).ok().map(|(event, _)| event)
}
