//! Files of `static_root`, served on the port of the WebSockets. tower-http answers: types, dates,
//! conditions. What a path may look like (`path.rs`), what is opened (`open.rs`) and which ranges are asked
//! for (`range.rs`) is ours.

mod open;
mod path;
mod range;

#[cfg(fuzzing)]
pub(crate) use path::canonical;

use crate::handshake::count_refusal;
use crate::hub;
use crate::peer::Peer;
use crate::response::{Body, Response, refused};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use open::Beneath;
use range::Range;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::services::ServeDir;
use wsengine_proto::handshake::Refusal;

const NO_SUCH_FILE: Refusal = Refusal::new(StatusCode::NOT_FOUND, "There is no such file.");
const ONLY_READ: Refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Files can only be read.");
const UNREADABLE: Refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read.");

const TOO_MANY: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Too many files are being read; try again later.");

/// A file of `root`, or the refusal that there is none. It has one of `places` until the last byte is on its way.
pub(crate) async fn serve(
    request: http::Request<Incoming>,
    peer: &Peer,
    root: &Path,
    places: &Arc<Semaphore>,
) -> Response {
    let (mut head, _) = request.into_parts();
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut response = refused(&ONLY_READ);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(uri) = path::canonical(&head.uri) else { return missing() };
    let Ok(place) = places.clone().try_acquire_owned() else {
        count_refusal(&TOO_MANY, peer);
        return refused(&TOO_MANY);
    };
    let path = uri.path().to_owned();
    head.uri = uri;
    match answer(head, root).await {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => missing(),
        Ok(response) => with_our_headers(response, &path).map(|body| Body::new(Held { body, _place: place })),
        Err(error) if is_about_the_path(&error) => missing(),
        Err(error) => {
            hub::with(|hub| hub.count_failed(peer, &error, "a file cannot be read"));
            refused(&UNREADABLE)
        }
    }
}

/// Asks for the range first, and for the whole file where that is the better answer.
async fn answer(mut head: request::Parts, root: &Path) -> io::Result<Response> {
    let range = Range::take(&mut head);
    let ask = async |range: Option<&Range>| {
        let mut head = head.clone();
        head.headers.extend(range.map(|range| (header::RANGE, range.value.clone())));
        let mut files = ServeDir::with_backend("", Beneath::new(root));
        let response = files.try_call(http::Request::from_parts(head, ())).await?;
        Ok(response.map(|body| Body::new(body.map_err(io::Error::other))))
    };
    let response = ask(range.as_ref()).await?;
    if range.is_none_or(|range| range.is_met_by(&response)) {
        return Ok(response);
    }
    // With its file.
    drop(response);
    ask(None).await
}

/// A body, and its place with it.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Text is UTF-8 here, a source map is JSON, and no browser shall guess what a file is.
fn with_our_headers(mut response: Response, path: &str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match headers.get_mut(header::CONTENT_TYPE) {
        Some(kind) if path.ends_with(".map") => *kind = HeaderValue::from_static("application/json"),
        Some(kind) if kind.as_bytes().starts_with(b"text/") => {
            let text = [kind.as_bytes(), b"; charset=utf-8"].concat();
            *kind = HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(kind.clone());
        }
        _ => {}
    }
    response
}

/// A page may want other files on the same connection.
fn missing() -> Response {
    let mut response = refused(&NO_SUCH_FILE);
    response.headers_mut().remove(header::CONNECTION);
    response
}

/// No such file, or none that may be seen: to the peer that is the same.
fn is_about_the_path(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), CrossesDevices | InvalidFilename | NotADirectory | NotFound | PermissionDenied)
        || error.raw_os_error() == Some(libc::ELOOP)
}
