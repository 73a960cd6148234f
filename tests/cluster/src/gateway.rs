//! A way to the API server that a test can close: for an agent it is away then.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::cluster::Cluster;

const API: &str = "127.0.0.1:6443";
/// Where the API server is for who goes through it.
pub const SERVER: &str = "https://127.0.0.1:16443";
/// The same, in two words.
pub const ADDRESS: &str = "127.0.0.1";
/// The other one.
pub const PORT: u16 = 16443;

/// Passes connections on to the API server while it is open.
pub struct Gateway {
    open: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Gateway {
    /// One that is open, on the node of `cluster`.
    ///
    /// # Errors
    /// The address is taken.
    pub fn of(cluster: &Cluster) -> Result<Self> {
        let runtime = Runtime::new()?;
        let (open, is_open) = watch::channel(true);
        let address = SocketAddr::new(ADDRESS.parse()?, PORT);
        let listener = cluster.node.run(|| std::net::TcpListener::bind(address))?.context(address)?;
        listener.set_nonblocking(true)?;
        let _inside = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let node = Arc::new(cluster.node.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (node, is_open) = (node.clone(), is_open.clone());
                if *is_open.borrow() {
                    tokio::spawn(pass(stream, node, is_open));
                }
            }
        });
        Ok(Self { open, _runtime: runtime })
    }

    /// Ends all connections through it, and lets no other begin.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// As at the beginning.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn pass(mut from: TcpStream, node: Arc<egret_tests::netns::Netns>, mut is_open: watch::Receiver<bool>) {
    let Ok(Ok(to)) = node.run(|| std::net::TcpStream::connect(API)) else { return };
    if to.set_nonblocking(true).is_err() {
        return;
    }
    let Ok(mut to) = TcpStream::from_std(to) else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
        _ = is_open.wait_for(|is_open| !is_open) => {}
    }
}
