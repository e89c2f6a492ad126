//! A stream to a peer: TCP or a unix socket, with TLS or without.

use crate::sockets::Socket;
use crate::sys;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// A stream to a peer.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Metered>>),
}

/// The socket under TLS, which hides how far it gets.
pub(crate) struct Metered {
    socket: Socket,
    written: u64,
}

impl Metered {
    pub(crate) fn new(socket: Socket) -> Self {
        Metered { socket, written: 0 }
    }
}

impl Stream {
    /// Writes what goes out at once. Under TLS `waker` is woken when what was taken can go on its way.
    #[inline]
    pub(crate) fn try_write(&mut self, waker: &Waker, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write(bytes),
            Stream::Tls(tls) => at_once(waker, |cx| Pin::new(&mut **tls).poll_write(cx, bytes)),
        }
    }

    /// The same for several pieces.
    pub(crate) fn try_write_vectored(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write_vectored(slices),
            Stream::Tls(tls) => write_all_slices(tls, &mut Context::from_waker(waker), slices),
        }
    }

    /// Has the peer closed its side, or is the connection broken? Nothing is read for it.
    pub(crate) fn has_hung_up(&self) -> bool {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.get_ref().0.socket,
        };
        sys::has_hung_up(socket.as_fd())
    }

    /// Has something been taken that is still on its way to the socket?
    #[inline]
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.wants_write(),
        }
    }

    /// How much of what was held back the socket has taken, since the beginning.
    pub(crate) fn written(&self) -> u64 {
        match self {
            Stream::Plain(_) => 0,
            Stream::Tls(tls) => tls.get_ref().0.written,
        }
    }
}

/// TLS takes no more than fits its buffer in one call, also when the socket has taken all of that.
fn write_all_slices(
    tls: &mut TlsStream<Metered>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    let mut slices = slices.to_vec();
    let mut left = &mut slices[..];
    let mut written = 0;
    while left.iter().any(|slice| !slice.is_empty()) {
        match Pin::new(&mut *tls).poll_write_vectored(cx, left) {
            Poll::Ready(Ok(taken)) => {
                written += taken;
                IoSlice::advance_slices(&mut left, taken);
            }
            Poll::Ready(Err(error)) if written == 0 => return Err(error),
            Poll::Pending if written == 0 => return Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(Err(_)) | Poll::Pending => break,
        }
        if tls.get_ref().1.wants_write() {
            break;
        }
    }
    Ok(written)
}

fn at_once(
    waker: &Waker,
    write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
) -> io::Result<usize> {
    match write(&mut Context::from_waker(waker)) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Metered { socket, written } = self.get_mut();
        Pin::new(socket).poll_write(cx, bytes).map_ok(|taken| count(written, taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Metered { socket, written } = self.get_mut();
        Pin::new(socket).poll_write_vectored(cx, slices).map_ok(|taken| count(written, taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

fn count(written: &mut u64, taken: usize) -> usize {
    *written += taken as u64;
    taken
}
