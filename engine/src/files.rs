//! Files of `static_root`, served on the port of the WebSockets.

use crate::response::{Response, refused};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::io;
use std::path::Path;
use tower_http::services::ServeDir;
use wsengine_proto::handshake::Refusal;

const NO_SUCH_FILE: Refusal = Refusal::new(StatusCode::NOT_FOUND, "There is no such file.");

/// A file of `root`, or the refusal that there is none.
pub(crate) async fn serve(request: http::Request<Incoming>, root: &Path) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Files can only be read."));
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match ServeDir::new(root).try_call(request).await {
        Ok(response) if response.status() == StatusCode::NOT_FOUND => refused(&NO_SUCH_FILE),
        Ok(response) => response.map(|body| body.map_err(io::Error::other).boxed_unsync()),
        Err(error) if is_about_the_path(&error) => refused(&NO_SUCH_FILE),
        Err(error) => {
            tracing::warn!(%error, "a file cannot be served");
            refused(&Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read."))
        }
    }
}

/// No such file, or none that may be seen: to the peer that is the same.
fn is_about_the_path(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), InvalidFilename | NotADirectory | NotFound | PermissionDenied)
}
