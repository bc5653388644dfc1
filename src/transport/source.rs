//! From which of the machine's addresses connections are opened.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use actix_rt::net::TcpStream;
use tokio::net::TcpSocket;

/// The addresses to send from, at most one of each family. Where there is none of
/// a family, the system chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceAddresses {
    /// For receivers that are reached by IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For those that are reached by IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The address to send from cannot be had.
    Source(IpAddr, io::Error),
    /// The peer cannot be reached.
    Peer(io::Error),
}

impl SourceAddresses {
    /// Those of them that this machine does not have now.
    pub fn missing(&self) -> Vec<IpAddr> {
        let both = self.v4.map(IpAddr::from).into_iter().chain(self.v6.map(IpAddr::from));
        // Binding is how the system is asked; nothing is sent.
        both.filter(|address| UdpSocket::bind((*address, 0)).is_err()).collect()
    }

    /// Opens a connection from the address of the peer's family.
    pub(super) async fn open(&self, peer: SocketAddr) -> Result<TcpStream, OpenError> {
        let (socket, source) = match peer {
            SocketAddr::V4(_) => (TcpSocket::new_v4(), self.v4.map(IpAddr::from)),
            SocketAddr::V6(_) => (TcpSocket::new_v6(), self.v6.map(IpAddr::from)),
        };
        let socket = socket.map_err(OpenError::Peer)?;
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0)).map_err(|error| OpenError::Source(source, error))?;
        }
        socket.connect(peer).await.map_err(OpenError::Peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_the_machine_does_not_have_is_missing() {
        let source = SourceAddresses { v4: Some(Ipv4Addr::new(127, 0, 0, 9)), v6: None };
        assert_eq!(source.missing(), Vec::<IpAddr>::new());
        // Kept for documentation: no machine has it.
        let nowhere = Ipv4Addr::new(203, 0, 113, 77);
        let source = SourceAddresses { v4: Some(nowhere), v6: Some("2001:db8::77".parse().expect("an address")) };
        assert_eq!(source.missing(), [IpAddr::from(nowhere), "2001:db8::77".parse().expect("an address")]);
    }
}
