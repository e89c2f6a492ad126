//! The server's side: a thread that does what forked children ask for.

use super::wire::{self, HEAD_BYTES, Head, Request};
use crate::link::Shared;
use crate::sys::{self, fork};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::JoinHandle;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;

/// A request may be so much longer than the longest message: topics, reasons, lists of connections.
const MAX_EXTRA_BYTES: usize = 64 << 20;
/// What a request's memory is kept at between requests.
const USUAL_BYTES: usize = 64 * 1024;

/// Starts the thread. It ends when `stopped` is told, or when its other end is dropped.
pub(crate) fn start(
    shared: Arc<Shared>,
    way: fork::Kept<StdDatagram>,
    stopped: oneshot::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let runtime = move || -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            let way = way.convert(UnixDatagram::from_std)?;
            welcome(&way, shared, stopped).await;
            Ok(())
        })
    };
    let run = move || {
        if let Err(error) = runtime() {
            tracing::error!(%error, "forked children cannot be served");
        }
    };
    let builder = std::thread::Builder::new().name("wsengine-fork".into());
    sys::with_signals_blocked(|| builder.spawn(run))
}

/// Takes the streams of children that ask for the first time.
async fn welcome(way: &UnixDatagram, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    poll_fn(|cx| {
        loop {
            if Pin::new(&mut stopped).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match way.poll_recv_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    tracing::error!(%error, "forked children cannot be served any more");
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) => {}
            }
            match way.try_io(Interest::READABLE, || receive(way.as_raw_fd())) {
                Ok(stream) => drop(tokio::task::spawn_local(serve(stream, shared.clone()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => tracing::error!(%error, "a forked child cannot be served"),
            }
        }
    })
    .await;
}

fn receive(way: RawFd) -> io::Result<fork::Kept<UnixStream>> {
    let gate = fork::gate();
    let stream = fork::Kept::new(sys::move_above_select(fork::receive_socket(way)?));
    drop(gate);
    stream.set_nonblocking(true)?;
    stream.convert(|socket| UnixStream::from_std(socket.into()))
}

/// Does what one child asks for, until it has gone.
async fn serve(mut stream: fork::Kept<UnixStream>, shared: Arc<Shared>) {
    let mut body = Vec::new();
    while let Ok(answer) = serve_one(&mut stream, &shared, &mut body).await {
        if stream.write_all(&answer).await.is_err() {
            break;
        }
        body.clear();
        body.shrink_to(USUAL_BYTES);
    }
}

async fn serve_one(
    stream: &mut UnixStream,
    shared: &Shared,
    body: &mut Vec<u8>,
) -> io::Result<[u8; wire::ANSWER_BYTES]> {
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let head = Head::decode(&head);
    if head.body_len() > shared.settings.send_queue_bytes + MAX_EXTRA_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    body.resize(head.body_len(), 0);
    stream.read_exact(body).await?;
    let mut except = Vec::new();
    let request = Request::decode(&head, body, &mut except).ok_or(io::ErrorKind::InvalidData)?;
    Ok(wire::encode_answer(&shared.carry_out(&request)))
}
