//! Certificates made for a test, and clients that verify them by rustls.
#![allow(unreachable_pub, dead_code)] // As in mod.rs.

use super::PATIENCE;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::{self, WebSocket};

/// A certificate for localhost that signs itself, and its key.
pub struct Certificate {
    pub pem: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn expired() -> Self {
        Self::with(|params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 3, 4);
        })
    }

    fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Certificate { pem: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

/// The files that a server reads; they go with this.
pub struct Files(PathBuf);

impl Files {
    pub fn new(name: &str, certificate: &Certificate) -> Self {
        let folder = std::env::temp_dir().join(format!("wsengine-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = Files(folder);
        files.write(certificate);
        files
    }

    pub fn write(&self, certificate: &Certificate) {
        std::fs::write(self.0.join("cert.pem"), &certificate.pem).unwrap();
        std::fs::write(self.0.join("key.pem"), &certificate.key).unwrap();
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A client that has nothing said yet: the server's certificate must be this one, and `alpn` be spoken above TLS.
pub fn tls_client(certificate: &Certificate, alpn: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

pub fn tcp_stream(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address.strip_prefix("tls://").unwrap()).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A stream to a server whose certificate must be this one.
pub fn tls_stream(address: &str, certificate: &Certificate) -> std::io::Result<TlsStream> {
    let mut stream = StreamOwned::new(tls_client(certificate, "http/1.1"), tcp_stream(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// A WebSocket over it.
pub fn tls_connect(address: &str, certificate: &Certificate) -> WebSocket<TlsStream> {
    let stream = tls_stream(address, certificate).unwrap();
    tungstenite::client("wss://localhost/", stream).unwrap().0
}
