//! A socket until it is a WebSocket: hyper reads the request, the answer is the opening handshake, what a
//! plain request gets (`plain.rs`), or a refusal with a status and one line that says why.
//!
//! After the 101 the stream is taken back from hyper together with the bytes it has read too far, and all that
//! hyper needed is freed.

use crate::event::Request;
use crate::hub;
use crate::link::{Seat, Shared};
use crate::plain;
use crate::response::{Response, empty, refused};
use http::{StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use wsengine_proto::handshake::{self, Accepted, Refusal};

const TOO_SLOW: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request took too long.");
const NO_HTTP: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "This is not a sound HTTP/1.1 request.");
const HEAD_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's head is too large or has too many headers.",
);

/// With as many sockets as [`Shared::max_sockets`] that are no connections yet no more are accepted, and those that
/// do not get on have so long instead of the option `handshake_timeout_ms`: a thousand silent sockets keep nobody
/// out for longer than that, and a burst of handshakes just queues.
const PATIENCE_WHEN_FULL: Duration = Duration::from_secs(1);
/// How long a peer may take to close after its last answer, and what it may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Serves one socket until it is closed or has become a connection.
pub(crate) async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let counted = Counted::new(shared.clone());
    let progress = Rc::new(Progress::new());
    let upgrade: Rc<RefCell<Option<(Request, Seat)>>> = Rc::default();
    let service = {
        let (progress, upgrade, shared) = (progress.clone(), upgrade.clone(), shared.clone());
        service_fn(move |request| {
            progress.answers();
            Box::pin(answer(request, peer, shared.clone(), upgrade.clone()))
        })
    };
    let watched = Watched { stream, progress: progress.clone() };
    let mut connection = http1::Builder::new()
        .max_buf_size(shared.settings.max_head_bytes)
        .max_headers(shared.settings.max_headers)
        .header_read_timeout(None)
        // A peer that has said all may still be answered.
        .half_close(true)
        .serve_connection(TokioIo::new(watched), service);

    let outcome = {
        let mut look = pin!(sleep_until(progress.look_again(&shared)));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(Some(result));
            }
            while look.as_mut().poll(cx).is_ready() {
                if progress.is_too_slow(&shared) {
                    return Poll::Ready(None);
                }
                look.as_mut().reset(progress.look_again(&shared));
            }
            Poll::Pending
        })
        .await
    };

    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().stream;
    if let Some((request, seat)) = upgrade.borrow_mut().take() {
        drop(counted);
        if let Some(Ok(())) = outcome {
            hub::with(|hub| hub.adopt(stream, &parts.read_buf, request, seat));
        }
        return;
    }
    let refusal = match outcome {
        None if progress.answering.get() => return,
        _ if progress.answering.get() => {
            let _ = tokio::time::timeout(LINGER, linger(&mut stream)).await;
            return;
        }
        None => TOO_SLOW,
        Some(Err(error)) if error.is_parse_too_large() => HEAD_TOO_LARGE,
        Some(Err(error)) if error.is_parse() => NO_HTTP,
        Some(_) => return,
    };
    count_refusal(&refusal, peer);
    let _ = tokio::time::timeout(LINGER, refuse(&mut stream, &refusal)).await;
}

/// Writes a refusal where hyper has no request to answer.
async fn refuse(stream: &mut TcpStream, refusal: &Refusal) -> io::Result<()> {
    let response = refusal.response();
    let mut text = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    text += &format!("content-length: {}\r\n\r\n{}", response.body().len(), response.body());
    stream.write_all(text.as_bytes()).await?;
    linger(stream).await
}

/// Shuts our side and reads on until the peer has closed as well: bytes left unread would make the system throw
/// the answer away.
async fn linger(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut left = LINGER_BYTES;
    loop {
        stream.readable().await?;
        match stream.try_read(&mut [0; 16 * 1024]) {
            Ok(read) if read > 0 && read < left => left -= read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return Ok(()),
        }
    }
}

/// Answers one request. An accepted handshake is left in `upgrade`.
async fn answer(
    request: http::Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    upgrade: Rc<RefCell<Option<(Request, Seat)>>>,
) -> Result<Response, Infallible> {
    if !handshake::is_websocket(&request) {
        hub::with(|hub| hub.link().counters.http_requests.add(1));
        return Ok(plain::answer(request, &shared.settings).await);
    }
    let accepted = handshake::answer(&request, &shared.settings.policy).and_then(|accepted| {
        let full = |reason| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason);
        Seat::take(&shared, peer.ip()).map_err(full).map(|seat| (accepted, seat))
    });
    log_handshake(&request, peer, accepted.as_ref().map(|(accepted, _)| accepted));
    Ok(match accepted {
        Ok((accepted, seat)) => {
            let response = accepted.response().map(|()| empty());
            *upgrade.borrow_mut() = Some((describe(request, peer, accepted), seat));
            response
        }
        Err(refusal) => {
            count_refusal(&refusal, peer);
            refused(&refusal)
        }
    })
}

/// What the host is told of the request.
fn describe(request: http::Request<Incoming>, peer: SocketAddr, accepted: Accepted) -> Request {
    let (head, _) = request.into_parts();
    Request {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        peer,
        subprotocol: accepted.subprotocol,
        tls: false,
    }
}

fn count_refusal(refusal: &Refusal, peer: SocketAddr) {
    hub::with(|hub| hub.link().counters.refused.add(1));
    tracing::info!(%peer, status = refusal.status.as_u16(), reason = refusal.reason, "refused");
}

/// What the push server of old printed for each client.
fn log_handshake(request: &http::Request<Incoming>, peer: SocketAddr, answer: Result<&Accepted, &Refusal>) {
    let header = |name: header::HeaderName| {
        request.headers().get(name).map_or("", |value| value.to_str().unwrap_or("(not text)"))
    };
    let (response, reason) = match answer {
        Ok(accepted) => (StatusCode::SWITCHING_PROTOCOLS, accepted.accept.as_str()),
        Err(refusal) => (refusal.status, refusal.reason),
    };
    tracing::debug!(
        %peer,
        version = header(header::SEC_WEBSOCKET_VERSION),
        path = request.uri().path(),
        host = header(header::HOST),
        origin = header(header::ORIGIN),
        key = header(header::SEC_WEBSOCKET_KEY),
        %response,
        answer = reason,
        "handshake"
    );
}

/// One of [`Shared::max_sockets`], until it is dropped.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.handshakes.fetch_add(1, Ordering::Relaxed);
        Counted(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How far a socket has come. A request has to arrive whole in time; its answer only has to get on.
struct Progress {
    /// When the socket was accepted, or the last request was there.
    began: Cell<Instant>,
    /// When bytes of an answer were last taken.
    moved: Cell<Instant>,
    /// A request is there. Before, nothing is written but our own refusals.
    answering: Cell<bool>,
}

impl Progress {
    fn new() -> Self {
        let now = Instant::now();
        Progress { began: Cell::new(now), moved: Cell::new(now), answering: Cell::new(false) }
    }

    fn answers(&self) {
        self.answering.set(true);
        self.began.set(Instant::now());
        self.moved.set(Instant::now());
    }

    fn is_too_slow(&self, shared: &Shared) -> bool {
        let timeout = shared.settings.handshake_timeout;
        let full = shared.handshakes.load(Ordering::Relaxed) >= shared.max_sockets;
        let since = if self.answering.get() { self.moved.get() } else { self.began.get() };
        since.elapsed() >= timeout
            || (full
                && (self.moved.get().elapsed() >= PATIENCE_WHEN_FULL
                    || self.began.get().elapsed() >= timeout))
    }

    fn look_again(&self, shared: &Shared) -> Instant {
        let since = if self.answering.get() { self.moved.get() } else { self.began.get() };
        (since + shared.settings.handshake_timeout).min(Instant::now() + PATIENCE_WHEN_FULL)
    }
}

/// The socket as hyper sees it.
struct Watched {
    stream: TcpStream,
    progress: Rc<Progress>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.progress.answering.get() {
            // hyper's own answer to what is no request: a bare status. Ours says why.
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(_)) = written {
            self.progress.moved.set(Instant::now());
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
