//! The handshake of TLS. Its mathematics take from a third of a millisecond to several, by the certificate's key, and are done
//! aside; the I/O thread reads and writes what is exchanged.

use super::Tls;
use crate::aside::{self, Rank};
use crate::stream::Metered;
use rustls::ServerConnection;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// So many for each I/O thread may wait for their mathematics: then no more are accepted on listeners of TLS. Who has waited
/// for too long would be sent away, and all of it was in vain.
const MOST_WAITING: usize = 32;

impl Tls {
    /// Do enough wait for what is done aside, with so many I/O threads?
    pub(crate) fn is_busy(&self, threads: usize) -> bool {
        self.waiting.load(Ordering::Relaxed) >= MOST_WAITING * threads
    }

    /// Shakes hands with a peer, as the server.
    pub(crate) async fn accept(&self, mut socket: Metered) -> io::Result<TlsStream<Metered>> {
        let config = self.config();
        let mut session = Box::new(ServerConnection::new(config.clone()).map_err(io::Error::other)?);
        let mut rank = Rank::Begins;
        while session.is_handshaking() {
            poll_fn(|cx| write(&mut session, &mut socket, cx)).await?;
            let records = socket.records();
            if poll_fn(|cx| read(&mut session, &mut socket, cx)).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            // Where no record is whole there is nothing to do but to look at the head of one.
            let outcome = if socket.records() == records {
                session.process_new_packets().map(drop)
            } else {
                let _waiting = Waiting::new(&self.waiting);
                let outcome;
                (session, outcome) = process_aside(rank, session).await?;
                rank = Rank::GoesOn;
                outcome
            };
            if let Err(error) = outcome {
                // The peer is told, if that can be done at once.
                let _ = poll_fn(|cx| Poll::Ready(write(&mut session, &mut socket, cx))).await;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        // What is left to be written goes out by this.
        TlsAcceptor::from(config).accept_with(socket, |new| *new = *session).await
    }
}

/// One of those that wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Waiting(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn read(
    session: &mut ServerConnection,
    socket: &mut Metered,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    or_pending(session.read_tls(&mut AtOnce { socket, cx }))
}

fn write(session: &mut ServerConnection, socket: &mut Metered, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    while session.wants_write() {
        if ready!(or_pending(session.write_tls(&mut AtOnce { socket, cx })))? == 0 {
            return Poll::Ready(Err(ErrorKind::WriteZero.into()));
        }
    }
    Poll::Ready(Ok(()))
}

fn or_pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// A socket as rustls wants it: what cannot be done at once is an error.
struct AtOnce<'a, 'b> {
    socket: &'a mut Metered,
    cx: &'a mut Context<'b>,
}

impl Read for AtOnce<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for AtOnce<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write_vectored(self.cx, slices) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn process_aside(
    rank: Rank,
    mut session: Box<ServerConnection>,
) -> io::Result<(Box<ServerConnection>, Result<(), rustls::Error>)> {
    let processed = aside::run(rank, || {
        let outcome = session.process_new_packets().map(drop);
        (session, outcome)
    });
    processed.await.map_err(|_| ErrorKind::BrokenPipe.into())
}
