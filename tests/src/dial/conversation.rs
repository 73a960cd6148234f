//! A connection that stays open while things happen around it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::netns::Netns;

/// An open TCP connection to one of the world's servers.
#[derive(Debug)]
pub struct Conversation {
    stream: TcpStream,
    lines: u32,
}

impl Conversation {
    /// Connects from `netns` and reads the greeting. Nothing takes more than 2 s.
    ///
    /// # Errors
    /// What the network says.
    pub fn open(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let limit = Duration::from_secs(2);
        let mut stream = netns.run(|| TcpStream::connect_timeout(&address, limit))??;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte).context("no greeting")?;
        }
        Ok(Self { stream, lines: 0 })
    }

    /// Sends a line that was never sent before and reads it back.
    ///
    /// # Errors
    /// The connection is cut, or silent for 2 s.
    pub fn go_on(&mut self) -> Result<()> {
        self.lines += 1;
        let said = format!("line {}\n", self.lines);
        self.stream.write_all(said.as_bytes()).context("the connection takes no data")?;
        let mut heard = vec![0; said.len()];
        self.stream.read_exact(&mut heard).context("nothing comes back on the connection")?;
        ensure!(heard == said.as_bytes(), "`{}` came back", String::from_utf8_lossy(&heard));
        Ok(())
    }
}
