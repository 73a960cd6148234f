//! A DNS server that others wrote: Debian's `unbound`, for what our own would never say.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::dial::{Attempt, Seen, dial_from};
use crate::eventually;
use crate::netns::Netns;

/// A running `unbound`; it ends with this.
#[derive(Debug)]
pub struct Unbound {
    process: Child,
}

impl Unbound {
    /// Starts `unbound` on `address` in `netns`, with its files in `directory`. `records` are lines of a zone file,
    /// such as `example.com. 60 IN A 192.0.2.1`; the first tells whether it is up.
    ///
    /// # Errors
    /// It is not installed, or does not answer within 5 s: then its log is in the message.
    pub fn start(netns: &Netns, directory: &Path, address: IpAddr, records: &[&str]) -> Result<Self> {
        let program = Path::new("/usr/sbin/unbound");
        ensure!(program.is_file(), "unbound is not installed; apt-get install unbound, or cargo xtask setup");
        let (file, log) = (directory.join("unbound.conf"), directory.join("unbound.log"));
        fs::write(&file, configuration(directory, address, records)).context("cannot write unbound.conf")?;
        let process = netns
            .command(program)
            .arg("-d")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let unbound = Self { process };
        let first = records.first().context("unbound needs a record")?;
        let name = first.split(' ').next().unwrap_or_default().trim_end_matches('.');
        // Asked over its own loopback, so that nobody else sees it.
        let probe = Attempt::tcp(name, 1).via(address).within_ms(200);
        eventually("unbound answers", Duration::from_secs(5), || {
            let outcome = dial_from(netns, &probe)?;
            Ok(outcome.iter().any(|outcome| outcome.seen != Seen::Unresolved).then_some(()))
        })
        .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(unbound)
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(directory: &Path, address: IpAddr, records: &[&str]) -> String {
    let data: String = records.iter().map(|record| format!("  local-data: \"{record}\"\n")).collect();
    format!(
        "server:\n  directory: \"{}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         do-daemonize: no\n  num-threads: 1\n  interface: {address}\n  access-control: 0.0.0.0/0 allow\n  \
         access-control: ::/0 allow\n  module-config: \"iterator\"\n{data}remote-control:\n  control-enable: no\n",
        directory.display()
    )
}
