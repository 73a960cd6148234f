//! The agent's interfaces. In a module they are imports; natively the test kit simulates them.

/// Lines for the agent's log. The module needs the grant `log`.
pub mod log {
    /// For who looks closely.
    pub fn debug(line: impl AsRef<str>) {
        super::imp::log(super::imp::Level::Debug, line.as_ref());
    }

    /// For who reads along.
    pub fn info(line: impl AsRef<str>) {
        super::imp::log(super::imp::Level::Info, line.as_ref());
    }

    /// For who should look.
    pub fn warn(line: impl AsRef<str>) {
        super::imp::log(super::imp::Level::Warn, line.as_ref());
    }
}

/// Counts of what happened lately, kept by the agent between decisions. The module needs the input and the grant
/// `counters`.
pub mod counters {
    /// Notes one more event under `key`, and tells how many the last `seconds` (1 to 3600) had, this one included.
    #[must_use]
    pub fn hits(key: &str, seconds: u32) -> u32 {
        super::imp::hits(key, seconds)
    }

    /// Notes `member` under `key`, and tells how many different ones the last `seconds` (1 to 3600) had, this one
    /// included. At most 1,024 are counted.
    #[must_use]
    pub fn distinct(key: &str, member: &str, seconds: u32) -> u32 {
        super::imp::distinct(key, member, seconds)
    }
}

/// The agent's clock. The module needs the input `time` and the grant `clock`. `attempt.time` is the same, without a
/// grant.
pub mod clock {
    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now() -> u64 {
        super::imp::now()
    }
}

#[cfg(target_arch = "wasm32")]
mod imp {
    use crate::guest::bindings::egret::policy::{clock, counters, log};

    pub use log::Level;

    pub fn log(level: Level, line: &str) {
        log::write(level, line);
    }

    pub fn hits(key: &str, seconds: u32) -> u32 {
        counters::hits(key, seconds)
    }

    pub fn distinct(key: &str, member: &str, seconds: u32) -> u32 {
        counters::distinct(key, member, seconds)
    }

    pub fn now() -> u64 {
        clock::now()
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    use crate::testing::host;

    #[derive(Clone, Copy, Debug)]
    pub enum Level {
        Debug,
        Info,
        Warn,
    }

    pub fn log(level: Level, line: &str) {
        eprintln!("{level:?}: {line}");
    }

    pub fn hits(key: &str, seconds: u32) -> u32 {
        host(|windows, now| windows.hits(key, seconds, now))
    }

    pub fn distinct(key: &str, member: &str, seconds: u32) -> u32 {
        host(|windows, now| windows.distinct(key, member, seconds, now))
    }

    pub fn now() -> u64 {
        host(|_, now| now)
    }
}
