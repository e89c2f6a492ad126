//! A stream to a peer: TCP or a unix socket, with TLS or without.

use crate::sys::{self, fork::Kept};
use socket2::{Domain, Socket as Unregistered};
use std::convert::identity;
use std::io::{self, IoSlice};
use std::ops::DerefMut;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A socket that tokio watches.
pub(crate) enum Socket {
    Tcp(Kept<TcpStream>),
    Unix(Kept<UnixStream>),
}

impl Socket {
    /// Has the runtime of this thread watch an accepted socket.
    pub(crate) fn register(socket: Kept<Unregistered>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if socket.domain()? == Domain::UNIX {
            return socket.convert(|unix| UnixStream::from_std(unix.into())).map(Socket::Unix);
        }
        socket.set_tcp_nodelay(true)?;
        socket.convert(|tcp| TcpStream::from_std(tcp.into())).map(Socket::Tcp)
    }

    /// The first byte that is there, which stays there; None where the system cannot look, or at the end.
    pub(crate) async fn peek_first(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        match self {
            Socket::Tcp(tcp) => Ok((tcp.peek(&mut first).await? > 0).then_some(first[0])),
            Socket::Unix(_) => Ok(None),
        }
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => tcp.try_write(bytes),
            Socket::Unix(unix) => unix.try_write(bytes),
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(tcp) => tcp.try_write_vectored(slices),
            Socket::Unix(unix) => unix.try_write_vectored(slices),
        }
    }
}

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
    /// Writes what goes out at once. Under TLS `waker` is woken when what was taken can go on its way; without one
    /// nothing is taken.
    #[inline]
    pub(crate) fn try_write(&mut self, waker: Option<&Waker>, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write(bytes),
            Stream::Tls(tls) => at_once(waker, |cx| Pin::new(&mut **tls).poll_write(cx, bytes)),
        }
    }

    /// The same for several pieces.
    pub(crate) fn try_write_vectored(
        &mut self,
        waker: Option<&Waker>,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.try_write_vectored(slices),
            Stream::Tls(tls) => {
                let Some(waker) = waker else { return Err(io::ErrorKind::WouldBlock.into()) };
                write_all_slices(tls, &mut Context::from_waker(waker), slices)
            }
        }
    }

    /// Has the peer closed its side, or is the connection broken? Nothing is read for it.
    pub(crate) fn has_hung_up(&self) -> bool {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.get_ref().0.socket,
        };
        sys::has_hung_up(match socket {
            Socket::Tcp(tcp) => tcp.as_fd(),
            Socket::Unix(unix) => unix.as_fd(),
        })
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
    waker: Option<&Waker>,
    write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
) -> io::Result<usize> {
    let Some(waker) = waker else { return Err(io::ErrorKind::WouldBlock.into()) };
    match write(&mut Context::from_waker(waker)) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// The same call for whichever kind it is.
macro_rules! poll {
    ($pinned:expr, $kind:ident, [$($variant:ident),+], $through:path, $inner:ident => $call:expr) => {
        match $pinned.get_mut() {
            $($kind::$variant($inner) => {
                let $inner = Pin::new($through($inner));
                $call
            })+
        }
    };
}

macro_rules! forward {
    ($kind:ident: $variants:tt, $through:path) => {
        impl AsyncRead for $kind {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll!(self, $kind, $variants, $through, stream => stream.poll_read(cx, buffer))
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                poll!(self, $kind, $variants, $through, stream => stream.poll_write(cx, bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                poll!(self, $kind, $variants, $through, stream => stream.poll_write_vectored(cx, slices))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                poll!(self, $kind, $variants, $through, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                poll!(self, $kind, $variants, $through, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

forward!(Socket: [Tcp, Unix], DerefMut::deref_mut);
forward!(Stream: [Plain, Tls], identity);

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
        // tokio's budget is for a task's own work; here one task may write to many sockets.
        match socket.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Pin::new(socket).poll_write(cx, bytes).map_ok(|taken| count(written, taken))
            }
            result => Poll::Ready(result.map(|taken| count(written, taken))),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Metered { socket, written } = self.get_mut();
        match socket.try_write_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Pin::new(socket).poll_write_vectored(cx, slices).map_ok(|taken| count(written, taken))
            }
            result => Poll::Ready(result.map(|taken| count(written, taken))),
        }
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
