//! TLS by rustls, on a socket that may block or not: the certificate that is trusted, and a session.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::stream::ready;

/// What every session of a run is begun with: trust in one certificate.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// In the certificate of this PEM file.
    pub(crate) fn in_file(path: &Path) -> io::Result<Self> {
        let wrong = |reason: String| {
            io::Error::other(format!("--tls {}: {reason}, must be a certificate as PEM", path.display()))
        };
        let certificate = CertificateDer::from_pem_file(path).map_err(|error| wrong(error.to_string()))?;
        Self::in_certificate(certificate).map_err(|error| wrong(error.to_string()))
    }

    fn in_certificate(certificate: CertificateDer<'static>) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each handshake is a full one: what it costs is to be measured.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }
}

/// A connection whose bytes are encrypted; its handshake takes place while it is read and written.
pub(crate) struct Session {
    connection: ClientConnection,
    socket: TcpStream,
}

impl Session {
    /// Sends nothing yet: a first write or read does.
    pub(crate) fn begin(trust: &Trust, socket: TcpStream, server: SocketAddrV4) -> io::Result<Self> {
        let name = ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(*server.ip())));
        let connection = ClientConnection::new(Arc::clone(&trust.0), name).map_err(failed)?;
        Ok(Self { connection, socket })
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl Read for Session {
    /// Bytes that are already decrypted, else what the socket brings. What it does not take for writing is no
    /// hindrance: the server may not read before we do.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(count) = ready(self.connection.reader().read(buffer))? {
                return Ok(count);
            }
            if self.connection.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.connection.process_new_packets().map_err(failed)?;
            // The handshake's answers.
            ready(self.flush())?;
        }
    }
}

impl Write for Session {
    /// Takes bytes once the socket has taken all from before; of these it may not have.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.connection.writer().write(bytes)?;
        ready(self.flush())?;
        Ok(taken)
    }

    /// Writes what is held back, as far as the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

fn failed(error: rustls::Error) -> io::Error {
    io::Error::other(format!("TLS: {error}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::stream::Stream;
    use crate::target::Target;
    use crate::target::tests::plain;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use std::net::TcpListener;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(10);

    pub(crate) type ServerStream = StreamOwned<ServerConnection, TcpStream>;

    /// A listener on 127.0.0.1 with a new certificate.
    pub(crate) struct Listener {
        pub(crate) target: Target,
        listener: TcpListener,
        config: Arc<ServerConfig>,
    }

    impl Listener {
        pub(crate) fn new() -> Self {
            let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap().der().clone();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], key)
                .unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target =
                Target { tls: Some(Trust::in_certificate(certificate).unwrap()), ..plain(&listener) };
            Self { target, listener, config: Arc::new(config) }
        }

        pub(crate) fn accept(&self) -> ServerStream {
            let (socket, _) = self.listener.accept().unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            StreamOwned::new(ServerConnection::new(Arc::clone(&self.config)).unwrap(), socket)
        }
    }

    /// A stream after the handshake of TLS, which still blocks, and the server's end.
    pub(crate) fn pair() -> (Stream, ServerStream) {
        let listener = Listener::new();
        let mut stream = listener.target.connect().unwrap();
        let server = std::thread::spawn(move || {
            let mut server = listener.accept();
            server.read_exact(&mut [0; 5]).unwrap();
            server.write_all(b"world").unwrap();
            server
        });
        stream.write_all(b"hello").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        (stream, server.join().unwrap())
    }

    /// Writes until the stream takes no more; says how many bytes it has taken.
    fn fill(stream: &mut Stream) -> usize {
        let mut taken = 0;
        while let Some(count) = ready(stream.write(&[7; 10_000])).unwrap() {
            taken += count;
        }
        taken
    }

    #[test]
    fn what_is_decrypted_comes_in_pieces_of_any_size() {
        let (mut stream, mut server) = pair();
        server.write_all(b"abcde").unwrap();
        let mut two = [0; 2];
        assert_eq!(stream.read(&mut two).unwrap(), 2);
        stream.socket().set_nonblocking(true).unwrap();
        assert!(!stream.is_emptied_by(1, 2));
        assert_eq!((stream.read(&mut two).unwrap(), &two), (2, b"cd"));
        assert_eq!((stream.read(&mut two).unwrap(), &two), (1, b"ed"));
        assert_eq!(ready(stream.read(&mut two)).unwrap(), None);
    }

    #[test]
    fn what_the_socket_did_not_take_is_flushed_later() {
        let (mut stream, mut server) = pair();
        stream.socket().set_nonblocking(true).unwrap();
        let taken = fill(&mut stream);
        let reader = std::thread::spawn(move || {
            let mut bytes = vec![0; taken];
            server.read_exact(&mut bytes).unwrap();
            bytes
        });
        while !reader.is_finished() {
            ready(stream.flush()).unwrap();
            std::thread::yield_now();
        }
        assert!(reader.join().unwrap() == vec![7; taken]);
    }

    #[test]
    fn a_stream_that_cannot_be_written_can_be_read() {
        let (mut stream, mut server) = pair();
        stream.socket().set_nonblocking(true).unwrap();
        fill(&mut stream);
        stream.socket().set_nonblocking(false).unwrap();
        server.write_all(b"x").unwrap();
        stream.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(stream.read(&mut [0; 9]).unwrap(), 1);
    }

    #[test]
    fn another_certificate_is_an_error() {
        let mut listener = Listener::new();
        listener.target.tls = Listener::new().target.tls;
        let mut stream = listener.target.connect().unwrap();
        let server = std::thread::spawn(move || listener.accept().read(&mut [0; 5]).is_err());
        stream.write_all(b"hello").unwrap();
        let error = stream.read(&mut [0; 5]).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        drop(stream);
        assert!(server.join().unwrap());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        for path in ["/does/not/exist.pem", "/dev/null"] {
            let error = Trust::in_file(Path::new(path)).map(drop).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
