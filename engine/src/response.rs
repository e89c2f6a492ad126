//! What a response is in this crate, and the short ones that are made of a refusal or of nothing.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use std::io;
use wsengine_proto::handshake::Refusal;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
pub(crate) type Response = http::Response<Body>;

pub(crate) fn refused(refusal: &Refusal) -> Response {
    refusal.response().map(full)
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    full("")
}
