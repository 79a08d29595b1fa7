//! Ways from loopback into a node's network, which nothing else leads to.
//!
//! A socket belongs to the network in which it was made, and a thread makes sockets in the network that it is in. So the
//! listeners are made outside, and a thread that has moved inside makes the connections.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;

use anyhow::anyhow;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::background::Background;

/// Forwards connections until it is dropped.
pub struct Tunnel {
    ways: mpsc::UnboundedSender<Way>,
    _thread: Background,
}

struct Way {
    from: TcpListener,
    to: SocketAddr,
}

impl Tunnel {
    /// A tunnel into a network namespace.
    pub fn into(network: File) -> anyhow::Result<Self> {
        let (ways, requested) = mpsc::unbounded_channel();
        let thread = Background::start("tunnel", move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(forward_all(requested))
        })?;
        Ok(Self { ways, _thread: thread })
    }

    /// Forwards what is connected to `from` to an address inside.
    pub fn forward(&self, from: TcpListener, to: SocketAddr) -> anyhow::Result<()> {
        from.set_nonblocking(true)?;
        self.ways.send(Way { from, to }).map_err(|_| anyhow!("the tunnel has collapsed"))
    }
}

/// A listener at a free port of the loopback interface.
pub fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

async fn forward_all(mut requested: mpsc::UnboundedReceiver<Way>) {
    while let Some(way) = requested.recv().await {
        tokio::spawn(async move {
            if let Err(error) = forward(way).await {
                tracing::warn!("forwarding connections: {error}");
            }
        });
    }
}

async fn forward(way: Way) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(way.from)?;
    loop {
        let (mut outside, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Where nobody listens, the connection is closed at once; what the client makes of it is its own affair.
            let mut inside = TcpStream::connect(way.to).await?;
            tokio::io::copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}
