//! A socket until it is a WebSocket: hyper reads the request, the answer is the opening handshake, a file of
//! `static_root`, or a refusal with a status and one line that says why.
//!
//! After the 101 the stream is taken back from hyper together with the bytes it has read too far, and all that
//! hyper needed is freed.

use crate::driver::Opened;
use crate::handshake::{self, Answer, Asking, Upgrade, count_refusal};
use crate::hub;
use crate::link::Shared;
use crate::listen::Speaks;
use crate::peer::Peer;
use crate::plain;
use crate::preface::{self, Caller, Failed};
use crate::progress::{Counted, Progress, Watched};
use crate::response::Response;
use crate::sockets::Socket;
use crate::stream::Stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wsengine_proto::handshake::{Refusal, is_websocket};
use wsengine_proto::hixie76::{BODY_BYTES, Opening};

const TOO_SLOW: Refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request took too long.");
const NO_HTTP: Refusal = Refusal::new(StatusCode::BAD_REQUEST, "This is not a sound HTTP/1.1 request.");
const TLS_HERE: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "This port does not speak TLS: connect by ws:// or http://.");
const HEAD_TOO_LARGE: Refusal = Refusal::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's head is too large or has too many headers.",
);

/// How long a peer may take to close after its last answer, and while others want its place; and what it may still send.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_WHEN_FULL: Duration = Duration::from_millis(100);
const LINGER_BYTES: usize = 1 << 20;

/// A handshake that has succeeded.
enum Switched {
    Upgrade(Upgrade),
    /// It is not answered yet.
    Hixie76(Opening, HeaderMap, Upgrade),
}

/// Serves one socket until it is closed or has become a connection, and is counted no more.
pub(crate) async fn serve(socket: Socket, peer: Peer, speaks: Speaks, counted: Counted, shared: Arc<Shared>) {
    let progress = Rc::new(Progress::new());
    let prefaced = progress.watch(&shared, preface::read(socket, peer, speaks, &shared)).await;
    let (stream, caller) = match prefaced {
        Some(Ok(prefaced)) => prefaced,
        Some(Err(Failed::Refused(socket, refusal))) => {
            return refuse(Stream::Plain(socket), &refusal, &peer, &shared).await;
        }
        Some(Err(Failed::Ended(error))) => return tracing::debug!(%peer, %error, "no request came"),
        None => return count_cut(&peer, "no request came in time"),
    };
    let Some((stream, early, upgrade)) = converse(stream, caller, &progress, &shared).await else {
        return;
    };
    drop(counted);
    let Upgrade { slot, request, seat, dialect } = upgrade;
    let id = slot.keep();
    hub::with(|hub| hub.adopt(id, request, Opened { stream, early, seat, dialect }));
}

/// Reads requests and answers them until one is an accepted handshake, or there are no more.
async fn converse(
    stream: Stream,
    caller: Caller,
    progress: &Rc<Progress>,
    shared: &Arc<Shared>,
) -> Option<(Stream, Vec<u8>, Upgrade)> {
    let accepted: Rc<RefCell<Option<Switched>>> = Rc::default();
    let service = {
        let (progress, accepted, shared) = (progress.clone(), accepted.clone(), shared.clone());
        service_fn(move |request| {
            progress.answers();
            Box::pin(answer(request, caller, progress.clone(), shared.clone(), accepted.clone()))
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
    let requests = std::future::poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Pending if matches!(*accepted.borrow(), Some(Switched::Hixie76(..))) => Poll::Ready(Ok(())),
        outcome => outcome,
    });
    let outcome = progress.watch(shared, requests).await;

    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner().stream;
    let early = parts.read_buf.to_vec();
    match accepted.take() {
        Some(Switched::Upgrade(upgrade)) => {
            return matches!(outcome, Some(Ok(()))).then_some((stream, early, upgrade));
        }
        Some(Switched::Hixie76(opening, headers, upgrade)) => {
            let answered = answer_hixie76(&mut stream, early, &opening, &headers);
            let early = progress.watch(shared, answered).await?.ok()?;
            return Some((stream, early, upgrade));
        }
        None => {}
    }
    let refusal = match outcome {
        None if progress.answering.get() => {
            // Else it was silent after its answer, as who keeps a connection may be.
            if progress.stuck.get() {
                count_cut(&caller.peer, "the answer was not taken in time");
            }
            return None;
        }
        _ if progress.answering.get() => {
            let _ = tokio::time::timeout(patience(shared), linger(&mut stream)).await;
            return None;
        }
        None => TOO_SLOW,
        Some(Err(error)) if error.is_parse_too_large() => HEAD_TOO_LARGE,
        Some(Err(error)) if error.is_parse() => match early.first() {
            Some(&preface::TLS_HANDSHAKE) => TLS_HERE,
            _ => NO_HTTP,
        },
        Some(_) => return None,
    };
    refuse(stream, &refusal, &caller.peer, shared).await;
    None
}

/// Answers one request. An accepted handshake is left in `accepted`.
async fn answer(
    request: http::Request<Incoming>,
    caller: Caller,
    progress: Rc<Progress>,
    shared: Arc<Shared>,
    accepted: Rc<RefCell<Option<Switched>>>,
) -> Result<Response, Infallible> {
    if !is_websocket(&request) {
        hub::with(|hub| hub.link().counters.http_requests.add(1));
        let mut response = plain::answer(request, &caller.peer, &shared).await;
        if shared.places_are_wanted() {
            // Somebody else may want its place, and would never get that of a peer who asks again and again.
            response.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
        }
        return Ok(response);
    }
    progress.deciding.set(true);
    let deadline = progress.began.get() + shared.settings.handshake_timeout;
    let asking = Asking { shared: &shared, caller, deadline: deadline.into_std() };
    let answer = handshake::answer(request, asking).await;
    progress.deciding.set(false);
    Ok(match answer {
        Answer::Refused(response) => response,
        Answer::Switching(response, upgrade) => {
            accepted.replace(Some(Switched::Upgrade(upgrade)));
            response
        }
        Answer::Hixie76(opening, headers, upgrade) => {
            accepted.replace(Some(Switched::Hixie76(opening, headers, upgrade)));
            // hyper knows nothing of what follows the head, so it is answered without hyper.
            std::future::pending().await
        }
    })
}

/// Answers a handshake of draft-76 when its last bytes are there. `early` are those behind the head; what is left of
/// them belongs to the connection.
async fn answer_hixie76(
    stream: &mut Stream,
    mut early: Vec<u8>,
    opening: &Opening,
    headers: &HeaderMap,
) -> io::Result<Vec<u8>> {
    loop {
        if let Some((&body, rest)) = early.split_first_chunk::<BODY_BYTES>() {
            stream.write_all(&opening.response(body, headers)).await?;
            stream.flush().await?;
            return Ok(rest.to_vec());
        }
        if stream.read_buf(&mut early).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Counts the end of a socket that did not get on, and is told nothing.
fn count_cut(peer: &Peer, reason: &str) {
    hub::with(|hub| hub.count_refused(peer, None, reason));
}

/// Refuses where hyper has no request to answer.
async fn refuse(mut stream: Stream, refusal: &Refusal, peer: &Peer, shared: &Shared) {
    count_refusal(refusal, peer);
    let _ = tokio::time::timeout(patience(shared), write_refusal(&mut stream, refusal)).await;
}

fn patience(shared: &Shared) -> Duration {
    if shared.places_are_wanted() { LINGER_WHEN_FULL } else { LINGER }
}

async fn write_refusal(stream: &mut Stream, refusal: &Refusal) -> io::Result<()> {
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
async fn linger(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?;
    // That has been work enough for one turn.
    tokio::task::yield_now().await;
    let mut left = LINGER_BYTES;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            read if read > 0 && read < left => left -= read,
            _ => return Ok(()),
        }
    }
}
