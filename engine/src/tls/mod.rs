//! TLS by rustls: certificate and key come from their files at the start, and again when the host asks for it.
//! Connections keep what they began with.

mod handshake;

use crate::config::Settings;
use crate::error::Error;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::parse_x509_certificate;

/// What is spoken above TLS (RFC 7301); a WebSocket begins with a request of HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// The certificate in use, and where it came from.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
    /// Handshakes that wait for what is done aside.
    waiting: AtomicUsize,
}

impl Tls {
    /// Reads the files that the options name; None if they name none.
    pub(crate) fn load(settings: &Settings) -> Result<Option<Self>, Error> {
        let (cert, key) = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(missing("tls_cert", "tls_key")),
            (None, Some(_)) => return Err(missing("tls_key", "tls_cert")),
        };
        let config = RwLock::new(read(&cert, &key)?);
        Ok(Some(Tls { cert, key, config, waiting: AtomicUsize::new(0) }))
    }

    /// Reads the files again, for connections from now on. If it fails nothing changes.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let config = read(&self.cert, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        tracing::info!(cert = %self.cert.display(), "the certificate was read again");
        Ok(())
    }

    /// For the next connection.
    fn config(&self) -> Arc<ServerConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn missing(given: &str, other: &str) -> Error {
    Error::Config(format!("option \"{given}\" is set and \"{other}\" is not; TLS needs both"))
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let chain = read_chain(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        unreadable("tls_key", key, &error, "no private key in PEM form; one with a passphrase cannot be used")
    })?;
    if let Some(leaf) = chain.first() {
        warn_of_dates(cert, leaf);
    }
    let wrong = |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(_) => Error::Config(format!(
            "options \"tls_cert\" and \"tls_key\": the key in {key:?} does not belong to the certificate in {cert:?}"
        )),
        rustls::Error::InvalidCertificate(_) => {
            Error::Config(format!("option \"tls_cert\": what {cert:?} holds is no sound certificate"))
        }
        // What rustls says of a key that it can read as none of these.
        rustls::Error::General(_) => Error::Config(format!(
            "option \"tls_key\": the key in {key:?} is none of RSA (2048 bits or more), ECDSA (P-256, P-384) \
             and Ed25519"
        )),
        error => Error::Config(format!(
            "options \"tls_cert\" and \"tls_key\": {cert:?} and {key:?} cannot be used: {error}"
        )),
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(wrong)?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, private).map_err(wrong)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Sessions that are resumed cost nothing here between their connections.
    config.ticketer = ring::Ticketer::new().map_err(wrong)?;
    Ok(Arc::new(config))
}

fn read_chain(cert: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    const NONE: &str = "no certificate in PEM form";
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match chain {
        Ok(chain) if chain.is_empty() => Err(unreadable("tls_cert", cert, &pem::Error::NoItemsFound, NONE)),
        chain => chain.map_err(|error| unreadable("tls_cert", cert, &error, NONE)),
    }
}

fn unreadable(option: &str, path: &Path, error: &pem::Error, nothing: &str) -> Error {
    Error::Config(match error {
        pem::Error::Io(error) => format!("option \"{option}\": {path:?} cannot be read: {error}"),
        pem::Error::NoItemsFound => format!("option \"{option}\": {path:?} holds {nothing}"),
        pem::Error::MissingSectionEnd { .. } => {
            format!("option \"{option}\": {path:?} is not sound PEM: its END line is missing")
        }
        pem::Error::Base64Decode(_) => {
            format!("option \"{option}\": {path:?} is not sound PEM: what stands in it is not Base64")
        }
        error => format!("option \"{option}\": {path:?} is not sound PEM: {error}"),
    })
}

/// Clients will refuse it, which is theirs to say; but the operator should read why.
fn warn_of_dates(path: &Path, leaf: &CertificateDer<'_>) {
    let Ok((_, certificate)) = parse_x509_certificate(leaf) else { return };
    let validity = certificate.validity();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    let path = path.display();
    if now > validity.not_after.timestamp() {
        tracing::warn!("the certificate in {path} has expired on {}", validity.not_after);
    } else if now < validity.not_before.timestamp() {
        tracing::warn!("the certificate in {path} is not valid before {}", validity.not_before);
    }
}
