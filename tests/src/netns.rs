//! One named network namespace: work, commands and counters inside it.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with a name under `/run/netns`.
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// The namespace called `name`; it need not exist yet.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `work` on a fresh thread inside the namespace. Sockets made there stay there, wherever they are used.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = File::open(self.path()).with_context(|| format!("no namespace {}", self.name))?;
        let inside = || -> Result<T> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("cannot enter the namespace {}", self.name))?;
            Ok(work())
        };
        thread::scope(|scope| {
            scope.spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that runs inside; `/sys` and its mounts stay visible (`ip netns exec` would hide them).
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// A command that runs inside as an application does: with the files of `/etc/netns/NAME` in the place of
    /// those of `/etc`, so that glibc finds the namespace's own resolvers.
    #[must_use]
    pub fn application(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Writes kernel settings of the namespace: path below `/proc/sys/net`, value.
    ///
    /// # Errors
    /// The first setting that the kernel refuses.
    pub fn set(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            settings.iter().try_for_each(|(path, value)| {
                fs::write(format!("/proc/sys/net/{path}"), value)
                    .with_context(|| format!("cannot set net/{path} to {value}"))
            })
        })?
    }

    /// The link address of a device of the namespace.
    ///
    /// # Errors
    /// There is no such device.
    pub fn link_address(&self, device: &str) -> Result<[u8; 6]> {
        let output = self.command("ip").args(["-br", "link", "show", "dev", device]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let word = text.split_whitespace().nth(2).context("no link address")?;
        let bytes: Vec<u8> = word.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        bytes.try_into().map_err(|_| anyhow::anyhow!("no link address: {text}"))
    }

    /// A counter of the namespace's TCP/IP stack, such as `Tcp` `RetransSegs`.
    ///
    /// # Errors
    /// The kernel has no such counter.
    pub fn counter(&self, protocol: &str, name: &str) -> Result<u64> {
        let table = self.run(|| fs::read_to_string("/proc/thread-self/net/snmp"))??;
        read_counter(&table, protocol, name).with_context(|| format!("no counter {protocol} {name}"))
    }
}

/// Each protocol has a line of names and, right below, a line of values.
fn read_counter(table: &str, protocol: &str, name: &str) -> Option<u64> {
    let prefix = format!("{protocol}: ");
    let mut lines = table.lines().filter_map(|line| line.strip_prefix(&prefix));
    let at = lines.next()?.split(' ').position(|column| column == name)?;
    lines.next()?.split(' ').nth(at)?.parse().ok()
}

/// Feeds `lines` to `ip -batch` in `namespace`, or in the caller's own.
///
/// # Errors
/// The first line that `ip` refuses, with its words.
pub fn ip_batch(namespace: Option<&Netns>, lines: &[String]) -> Result<()> {
    use std::io::Write;
    let mut command = Command::new("ip");
    if let Some(namespace) = namespace {
        command.args(["-n", namespace.name()]);
    }
    let piped = std::process::Stdio::piped;
    let mut child = command
        .args(["-batch", "-"])
        .stdin(piped())
        .stderr(piped())
        .spawn()
        .context("cannot run `ip`; install iproute2")?;
    child.stdin.take().context("stdin of ip")?.write_all((lines.join("\n") + "\n").as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`ip -batch` failed: {}\nin\n{}", String::from_utf8_lossy(&output.stderr), lines.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read_counter;

    #[test]
    fn a_counter_is_found_by_its_column() {
        let table = "Ip: Forwarding\nIp: 1\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 0\n";
        assert_eq!(read_counter(table, "Tcp", "RetransSegs"), Some(17));
        assert_eq!(read_counter(table, "Ip", "Forwarding"), Some(1));
        assert_eq!(read_counter(table, "Udp", "InErrs"), None);
    }
}
