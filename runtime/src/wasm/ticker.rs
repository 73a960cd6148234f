//! The clock by which modules are stopped: one thread that moves the engine's epoch on every millisecond while modules
//! run, and sleeps while none does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// One tick.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// It goes on for so many ticks after the last call, so that a busy agent does not wake it each time.
const LINGER: u32 = 200;

#[derive(Debug)]
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct State {
    running: AtomicUsize,
    sleeps: AtomicBool,
    ended: AtomicBool,
}

/// While this lives, the clock ticks.
#[must_use]
#[derive(Debug)]
pub(super) struct Running<'a>(&'a State);

impl Ticker {
    /// Starts the thread; `tick` is what it does each time.
    pub fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        let own = state.clone();
        let handle = thread::Builder::new().name("wasm-ticker".to_owned()).spawn(move || own.run(&tick))?;
        Ok(Self { state, thread: handle.thread().clone() })
    }

    /// A module runs from now on, until what is returned is dropped.
    pub fn running(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.sleeps.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl State {
    fn run(&self, tick: &impl Fn()) {
        let mut idle = 0;
        while !self.ended.load(Ordering::Relaxed) {
            if self.running.load(Ordering::SeqCst) > 0 {
                idle = 0;
            } else {
                idle += 1;
            }
            if idle > LINGER {
                self.sleep();
                idle = 0;
            }
            thread::sleep(TICK);
            tick();
        }
    }

    /// Whoever comes between the two looks either sees `sleeps`, and wakes us, or is seen.
    fn sleep(&self) {
        self.sleeps.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::Relaxed) {
            thread::park();
        }
        self.sleeps.store(false, Ordering::SeqCst);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn it_ticks_while_something_runs_and_rests_while_nothing_does() {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = ticks.clone();
        let ticker = Ticker::start(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .expect("a thread");
        let asleep = || ticker.state.sleeps.load(Ordering::SeqCst);
        let wait = |what: &dyn Fn() -> bool| {
            let start = Instant::now();
            while !what() {
                assert!(start.elapsed() < Duration::from_secs(20), "it never came");
                thread::sleep(TICK);
            }
        };
        wait(&asleep);
        let before = ticks.load(Ordering::SeqCst);
        let running = ticker.running();
        wait(&|| ticks.load(Ordering::SeqCst) > before + 3);
        drop(running);
        wait(&asleep);
        let before = ticks.load(Ordering::SeqCst);
        thread::sleep(TICK * 20);
        assert_eq!(ticks.load(Ordering::SeqCst), before, "it rests");
    }
}
