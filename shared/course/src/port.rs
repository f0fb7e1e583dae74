//! A free port for a program that cannot choose one itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of 127.0.0.1 where nobody listens. As long as this lives, the system gives it to no other
/// socket: the program that is told to listen on it finds it free, however late it starts.
///
/// The socket is bound and does not listen. On Linux another one may listen on the same port if both
/// have `SO_REUSEADDR`, as the sockets of servers have. Elsewhere that is refused, so there the port
/// was free a moment ago, and no more.
pub struct Port {
    address: SocketAddr,
    _kept: Option<TcpSocket>,
}

impl Port {
    /// Takes a port.
    ///
    /// # Errors
    ///
    /// There is none left.
    pub fn keep() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self { address, _kept: cfg!(target_os = "linux").then_some(socket) })
    }

    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
