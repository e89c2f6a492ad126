//! What the fuzz targets reach and nobody else: parsers of what peers and proxies send. Compiled with `--cfg fuzzing` only.

#![allow(missing_docs)]

use crate::files;
use crate::peer::{self, Networks, Peer, ProxyHeader, proxy_protocol};
use crate::push;
use http::{HeaderMap, Uri};
use std::net::SocketAddr;
use wsengine_proto::Kind;

/// The peer that a header of the PROXY protocol names, and the header's size; None while it is not all there.
pub fn proxy_header(bytes: &[u8]) -> Result<Option<(Option<SocketAddr>, usize)>, &'static str> {
    Ok(match proxy_protocol::parse(bytes)? {
        proxy_protocol::Parsed::More => None,
        proxy_protocol::Parsed::Header { peer, size } => Some((peer, size)),
    })
}

/// Who has sent a request with these headers by way of `peer`.
pub fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &str, forwarded: bool) -> Option<String> {
    let header = if forwarded { ProxyHeader::Forwarded } else { ProxyHeader::XForwardedFor };
    Some(peer::client(Peer::Socket(peer), headers, &Networks::parse(trusted)?, header).peer.to_string())
}

/// The one spelling of a path.
pub fn path(uri: &Uri) -> Option<Uri> {
    files::canonical(uri)
}

/// The commands of somebody who pushes, as words; how many bytes they take, and whether what comes next is broken.
pub fn commands(bytes: &[u8], max: usize) -> (Vec<Vec<Vec<u8>>>, usize, bool) {
    push::commands(bytes, max)
}

/// Whether a channel means somebody, and the message of a payload if there is one.
pub fn envelope<'a>(app: &str, channel: &[u8], payload: &'a [u8]) -> (bool, Option<(Kind, &'a [u8])>) {
    crate::envelope::parse(app, channel, payload)
}
