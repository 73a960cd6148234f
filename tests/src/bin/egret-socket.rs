//! An application that goes on with one socket: `answer ADDRESS` answers each datagram, by `sendto`; `keep ADDRESS` and
//! `send ADDRESS` and `raw ADDRESS` do something for each line that they read, and print how it ended: write on one TCP
//! connection, send a datagram from a socket that is not connected, send one from a raw socket.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SendFlags, SocketType};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (verb, address) = (words.next().context("a verb")?, words.next().context("an address")?);
    let address: SocketAddr = address.parse()?;
    match verb.as_str() {
        "answer" => answer(address),
        "keep" => {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.set_write_timeout(Some(Duration::from_secs(2)))?;
            let mut greeting = [0; 1024];
            let _ = stream.read(&mut greeting)?;
            each(|| {
                stream.write_all(b"ping\n")?;
                let mut echo = [0; 5];
                stream.read_exact(&mut echo)
            })
        }
        "send" => {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            each(|| socket.send_to(b"ping", address).map(drop))
        }
        "raw" => raw(address),
        _ => bail!("no such verb"),
    }
}

fn answer(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    println!("ready");
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        // Where that may not be sent, nothing comes back, and that is what is looked at.
        let _ = socket.send_to(&buffer[..length], from);
    }
}

/// A datagram with a header of its own making, from a socket of the protocol UDP that is not one of UDP.
fn raw(address: SocketAddr) -> Result<()> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::RAW, Some(rustix::net::ipproto::UDP))?;
    let mut datagram = vec![0x9c, 0x40];
    datagram.extend(address.port().to_be_bytes());
    datagram.extend([0, 12, 0, 0]);
    datagram.extend(b"ping");
    let to = SocketAddr::new(address.ip(), 0);
    each(|| rustix::net::sendto(&socket, &datagram, SendFlags::empty(), &to).map(drop).map_err(Into::into))
}

/// Does it for each line that comes.
fn each(mut act: impl FnMut() -> std::io::Result<()>) -> Result<()> {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        line?;
        match act() {
            Ok(()) => println!("done"),
            Err(error) => println!("{}", error.kind()),
        }
    }
    Ok(())
}
