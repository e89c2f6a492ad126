//! A stream to a peer: TCP or a unix socket, with TLS or without.

use crate::sockets::Socket;
use crate::sys;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// After so many records of TLS in a row of which none gives data nothing more is read from the socket at once. They may be as
/// small as 22 bytes, such as those that change keys, and cost a microsecond and more each; one read has up to 186 of them.
const RECORDS_IN_A_ROW: usize = 8;
/// One that gives data pays for itself. So many may be there for which that is still to come.
const RECORDS_UNPAID: usize = 200;
const RECORD_HEAD_BYTES: u8 = 5;

/// A stream to a peer.
pub(crate) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Metered>>),
}

/// The socket under TLS, which hides how far it gets, and how much it does for little or no data.
pub(crate) struct Metered {
    socket: Socket,
    written: u64,
    records: Records,
}

impl Metered {
    pub(crate) fn new(socket: Socket) -> Self {
        Metered { socket, written: 0, records: Records::default() }
    }

    /// How many records have come that gave no data.
    pub(crate) fn records(&self) -> usize {
        self.records.unpaid
    }
}

/// Counts the records of TLS that come (RFC 8446 5.1).
#[derive(Default)]
struct Records {
    /// Those that have not given data.
    unpaid: usize,
    /// How many may still come in a row; None: TLS itself bounds that, for it is in its handshake.
    allowed: Option<usize>,
    /// The last read has stopped for them, and not because there was no more.
    has_stopped: bool,
    /// It has had something from the socket.
    has_read: bool,
    /// How much of its head the record at hand has, and how much of it is to come; with half a head, the length's first byte.
    head: u8,
    left: usize,
}

/// What a read was that gave no data.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct InVain {
    /// Records without data.
    pub(crate) records: usize,
    /// It had something from the socket.
    pub(crate) has_read: bool,
}

impl Records {
    /// A read begins.
    fn begin(&mut self) {
        (self.allowed, self.has_stopped, self.has_read) = (Some(RECORDS_IN_A_ROW), false, false);
    }

    /// It has ended, and gave data or not.
    fn end(&mut self, gave_data: bool) -> InVain {
        if gave_data {
            self.unpaid = self.unpaid.saturating_sub(1);
        }
        let records = self.unpaid.saturating_sub(RECORDS_UNPAID);
        self.unpaid -= records;
        InVain { records, has_read: self.has_read && !gave_data }
    }

    fn count(&mut self, mut bytes: &[u8]) {
        self.has_read |= !bytes.is_empty();
        while let Some((&first, rest)) = bytes.split_first() {
            if self.head < RECORD_HEAD_BYTES {
                self.head += 1;
                // The length is the last two bytes.
                if self.head + 1 >= RECORD_HEAD_BYTES {
                    self.left = self.left << 8 | usize::from(first);
                }
                bytes = rest;
            } else {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
            }
            if self.head == RECORD_HEAD_BYTES && self.left == 0 {
                self.head = 0;
                self.unpaid += 1;
                self.allowed = self.allowed.map(|allowed| allowed.saturating_sub(1));
            }
        }
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

    /// What is written from now on may wait for the end, which follows at once.
    pub(crate) fn hold_for_end(&mut self) {
        match self {
            Stream::Plain(socket) => socket.hold_for_end(),
            Stream::Tls(tls) => tls.get_mut().0.socket.hold_for_end(),
        }
    }

    /// Has the peer closed its side, or is the connection broken? Nothing is read for it.
    pub(crate) fn has_hung_up(&self) -> bool {
        sys::has_hung_up(self.socket().as_fd())
    }

    /// Has the peer said something that nobody has read yet, be it that it has ended?
    pub(crate) fn notice_unread(&self) -> bool {
        self.socket().notice_unread()
    }

    fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.get_ref().0.socket,
        }
    }

    /// As [`AsyncRead::poll_read`], but nobody is woken for what a read that has stopped has left. Says as well what TLS has
    /// read in vain.
    #[inline]
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> (Poll<io::Result<()>>, InVain) {
        let tls = match self {
            Stream::Plain(socket) => return (Pin::new(socket).poll_read(cx, buffer), InVain::default()),
            Stream::Tls(tls) => tls,
        };
        tls.get_mut().0.records.begin();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut **tls).poll_read(cx, buffer);
        (outcome, tls.get_mut().0.records.end(buffer.filled().len() > before))
    }

    /// How many bytes can be discarded while one is read.
    pub(crate) fn worth_of_discarded(&self) -> usize {
        match self {
            Stream::Plain(_) => 4,
            Stream::Tls(_) => 1,
        }
    }

    /// Takes what is there and nobody wants, no more than the buffer has room for.
    pub(crate) fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> (Poll<io::Result<usize>>, InVain) {
        match self {
            Stream::Plain(socket) => (socket.poll_discard(cx, buffer), InVain::default()),
            Stream::Tls(_) => {
                let mut into = ReadBuf::new(buffer);
                let (outcome, in_vain) = self.poll_data(cx, &mut into);
                (outcome.map_ok(|()| into.filled().len()), in_vain)
            }
        }
    }

    /// Has the last read stopped though there may be more?
    #[inline]
    pub(crate) fn has_stopped(&self) -> bool {
        match self {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().0.records.has_stopped,
        }
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
        let stream = self.get_mut();
        let (outcome, _) = stream.poll_data(cx, buffer);
        if stream.has_stopped() {
            cx.waker().wake_by_ref();
        }
        outcome
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
        let Metered { socket, records, .. } = self.get_mut();
        if records.allowed == Some(0) {
            // TLS would go on for as long as the peer does. Others come first.
            records.has_stopped = true;
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(socket).poll_read(cx, buffer);
        records.count(buffer.filled().get(before..).unwrap_or_default());
        outcome
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Metered { socket, written, .. } = self.get_mut();
        Pin::new(socket).poll_write(cx, bytes).map_ok(|taken| count(written, taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Metered { socket, written, .. } = self.get_mut();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::tests::with_pair;
    use std::future::poll_fn;
    use std::io::Write;

    fn records(lengths: &[u16]) -> Vec<u8> {
        let record = |length: &u16| {
            let [high, low] = length.to_be_bytes();
            [&[23, 3, 3, high, low][..], &vec![0; *length as usize]].concat()
        };
        lengths.iter().flat_map(record).collect()
    }

    #[test]
    fn records_are_counted_however_they_come() {
        let bytes = records(&[0, 1, 300, 0, 16_640, 7]);
        for size in [1, 2, 5, 6, 1_000, bytes.len()] {
            let mut counted = Records::default();
            bytes.chunks(size).for_each(|piece| counted.count(piece));
            assert_eq!((counted.unpaid, counted.head, counted.left), (6, 0, 0), "in pieces of {size}");
        }
        let mut counted = Records::default();
        counted.count(bytes.get(..bytes.len() - 1).unwrap());
        assert_eq!((counted.unpaid, counted.left), (5, 1));
    }

    #[test]
    fn a_read_without_data_is_in_vain_if_something_came() {
        let mut counted = Records::default();
        let mut read = |bytes: &[u8], gives_data| {
            counted.begin();
            counted.count(bytes);
            counted.end(gives_data)
        };
        let nothing = InVain::default();
        let piece = InVain { records: 0, has_read: true };
        assert_eq!(read(&[], false), nothing, "as after the last of what there was");
        let bytes = records(&[7]);
        for byte in bytes.get(..bytes.len() - 1).unwrap() {
            assert_eq!(read(&[*byte], false), piece);
        }
        assert_eq!(read(&[0], true), nothing);
        assert_eq!(read(&records(&[17; RECORDS_UNPAID]), false), piece);
        assert_eq!(read(&records(&[17; 3]), false), InVain { records: 3, has_read: true });
    }

    /// Peers that changed their keys all the time kept the thread for seconds: TLS read on and on and had no data to give.
    #[test]
    fn after_some_records_nothing_more_is_read() {
        with_pair(async |socket, mut peer| {
            peer.write_all(&records(&[17; 3 * RECORDS_IN_A_ROW])).unwrap();
            let mut metered = Metered::new(socket);
            let mut piece = [0; 2 * 22];
            for turn in 1..=3 {
                metered.records.begin();
                while !metered.records.has_stopped {
                    let mut buffer = ReadBuf::new(&mut piece);
                    let read = poll_fn(|cx| match Pin::new(&mut metered).poll_read(cx, &mut buffer) {
                        Poll::Pending if metered.records.has_stopped => Poll::Ready(Ok(())),
                        outcome => outcome,
                    });
                    read.await.unwrap();
                }
                assert_eq!(metered.records.unpaid, turn * RECORDS_IN_A_ROW);
            }
        });
    }
}
