//! Who answers: TCP and UDP echo with a greeting that names the address dialled, and DNS from zones in memory.
//!
//! Sockets are made on a thread inside a namespace and stay there; the tasks that serve them run on the world's one
//! runtime and end with it. [`Unbound`] is a DNS server of others, in a process of its own.

mod dns;
mod unbound;
mod zone;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, ipproto, socket, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use crate::netns::Netns;

pub use dns::serve_dns;
pub use unbound::Unbound;
pub use zone::{Records, Zone};

/// Greets every connection to `address` with the namespace and the address dialled, as one line, then echoes.
///
/// # Errors
/// The address is taken or is not of that namespace.
pub fn serve_tcp(runtime: &Runtime, netns: &Netns, address: SocketAddr) -> Result<()> {
    let listener = netns.run(|| listen(address))?.with_context(|| format!("cannot listen on {address}"))?;
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let who = netns.name().to_owned();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(greet_and_echo(stream, who.clone()));
        }
    });
    Ok(())
}

/// std cannot ask for IPv6 only, and an IPv4 wildcard beside an IPv6 one needs it.
fn listen(address: SocketAddr) -> Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let listener = socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&listener, true)?;
    }
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, 1024)?;
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn greet_and_echo(mut stream: tokio::net::TcpStream, who: String) -> std::io::Result<()> {
    let greeting = greeting(&who, stream.local_addr()?);
    stream.write_all(greeting.as_bytes()).await?;
    let mut buffer = vec![0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}

/// Answers every datagram to `address` with the greeting line and the datagram.
///
/// # Errors
/// As [`serve_tcp`].
pub fn serve_udp(runtime: &Runtime, netns: &Netns, address: SocketAddr) -> Result<()> {
    let socket = bind_udp(runtime, netns, address)?;
    let greeting = greeting(netns.name(), address);
    runtime.spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            // An error here is an ICMP message about an earlier answer: the next datagram may well come.
            if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let answer = [greeting.as_bytes(), &buffer[..length]].concat();
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    Ok(())
}

fn bind_udp(runtime: &Runtime, netns: &Netns, address: SocketAddr) -> Result<tokio::net::UdpSocket> {
    let socket = netns
        .run(|| std::net::UdpSocket::bind(address))?
        .with_context(|| format!("cannot bind {address}"))?;
    socket.set_nonblocking(true)?;
    let _inside = runtime.enter();
    Ok(tokio::net::UdpSocket::from_std(socket)?)
}

fn greeting(who: &str, address: SocketAddr) -> String {
    format!("{who} {address}\n")
}
