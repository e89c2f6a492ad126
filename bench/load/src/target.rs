//! The server under load, and what is spoken with it besides RFC 6455.

use std::io;
use std::net::{SocketAddrV4, TcpStream};

use crate::cli::Server;
use crate::deflate::Compression;
use crate::stream::Stream;
use crate::sys;
use crate::tls::{Session, Trust};

pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    pub(crate) tls: Option<Trust>,
    pub(crate) compression: Compression,
}

impl Target {
    pub(crate) fn new(server: &Server, compression: Compression) -> io::Result<Self> {
        let tls = server.tls.as_deref().map(Trust::in_file).transpose()?;
        Ok(Self { address: server.address, tls, compression })
    }

    /// A stream that blocks, connected.
    pub(crate) fn connect(&self) -> io::Result<Stream> {
        let address = self.address;
        let socket = TcpStream::connect(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot connect to {address}: {error}")))?;
        self.stream(socket)
    }

    /// A stream that does not block and is still being connected.
    pub(crate) fn start_connecting(&self) -> io::Result<Stream> {
        self.stream(sys::connect_nonblocking(self.address)?)
    }

    fn stream(&self, socket: TcpStream) -> io::Result<Stream> {
        match &self.tls {
            None => Ok(Stream::Plain(socket)),
            Some(trust) => Ok(Stream::Tls(Box::new(Session::begin(trust, socket, self.address)?))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    /// What listens there, spoken to without TLS and compression.
    pub(crate) fn plain(listener: &TcpListener) -> Target {
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
        Target { address, tls: None, compression: Compression::Off }
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let target = plain(&TcpListener::bind("127.0.0.1:0").unwrap());
        let error = target.connect().map(drop).unwrap_err().to_string();
        assert!(error.contains(&target.address.to_string()), "{error}");
    }
}
