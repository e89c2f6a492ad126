//! What a request gets that is no WebSocket handshake: the word that the server is well, a file of
//! `static_root`, or the hint that this is a WebSocket server.

use crate::files;
use crate::link::Shared;
use crate::peer::Peer;
use crate::response::{Response, full, refused};
use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use wsengine_proto::handshake::Refusal;

const PLAIN_REQUEST: Refusal = Refusal::new(
    StatusCode::UPGRADE_REQUIRED,
    "This is a WebSocket server: connect with a WebSocket client (ws://).",
);

/// Where load balancers and supervisors ask. It comes before the files, so that it means the same on every
/// server, and is answered by the I/O threads: it says that the engine is well, not that the host is.
const HEALTH: &str = "/healthz";

pub(crate) async fn answer(request: http::Request<Incoming>, peer: &Peer, shared: &Shared) -> Response {
    if request.uri().path() == HEALTH && matches!(*request.method(), Method::GET | Method::HEAD) {
        return healthy();
    }
    match &shared.settings.static_root {
        Some(root) => files::serve(request, peer, root, &shared.files).await,
        None => refused(&PLAIN_REQUEST),
    }
}

fn healthy() -> Response {
    let mut response = Response::new(full("ok\n"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
