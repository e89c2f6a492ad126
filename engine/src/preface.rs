//! What comes before the request on some listeners: a header of the PROXY protocol, and TLS.

use crate::link::Shared;
use crate::listen::Speaks;
use crate::peer::Peer;
use crate::peer::proxy_protocol::{self, Parsed};
use crate::sockets::Socket;
use crate::stream::{Metered, Stream};
use std::io;
use tokio::io::AsyncReadExt;
use wsengine_proto::handshake::Refusal;

const NO_TLS: Refusal =
    Refusal::new(http::StatusCode::BAD_REQUEST, "This port speaks TLS: connect by wss:// or https://.");
const UNTRUSTED: Refusal = Refusal::new(
    http::StatusCode::FORBIDDEN,
    "Only proxies may connect to this port (see the option \"trusted_proxies\").",
);

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;
/// The shortest line of version 1: `PROXY UNKNOWN` and the end of the line.
const SHORTEST_V1: usize = 15;
/// The fixed part of version 2, and where in it stands how long the rest is.
const FIXED_V2: usize = 16;
const LENGTH_V2: std::ops::Range<usize> = 14..16;

/// Why there will be no request.
pub(crate) enum Failed {
    /// The peer is told.
    Refused(Socket, Refusal),
    /// It is gone, or there is no common tongue to tell it in.
    Ended(io::Error),
}

/// What is known of a peer before its first request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) peer: Peer,
    pub(crate) tls: bool,
    /// A proxy that was to name its client named none: its headers are then that client's, not its own.
    pub(crate) is_unnamed: bool,
}

/// Reads what comes first; says who the peer is.
pub(crate) async fn read(
    mut socket: Socket,
    peer: Peer,
    speaks: Speaks,
    shared: &Shared,
) -> Result<(Stream, Caller), Failed> {
    let mut caller = Caller { peer, tls: speaks.tls, is_unnamed: false };
    if speaks.proxy {
        let trusted = &shared.settings.trusted_proxies;
        if !trusted.is_empty() && !trusted.trusts(&peer) {
            return Err(Failed::Refused(socket, UNTRUSTED));
        }
        match proxied(&mut socket).await.map_err(Failed::Ended)? {
            Ok(Some(named)) => caller.peer = Peer::Socket(named),
            Ok(None) => caller.is_unnamed = true,
            Err(reason) => {
                let refusal = Refusal::new(http::StatusCode::BAD_REQUEST, reason);
                return Err(Failed::Refused(socket, refusal));
            }
        }
    }
    match shared.tls.as_ref().filter(|_| speaks.tls) {
        None => Ok((Stream::Plain(socket), caller)),
        Some(tls) => {
            if socket.peek_first().await.map_err(Failed::Ended)?.is_some_and(|first| first != TLS_HANDSHAKE) {
                return Err(Failed::Refused(socket, NO_TLS));
            }
            let stream = tls.accept(Metered::new(socket)).await.map_err(Failed::Ended)?;
            Ok((Stream::Tls(Box::new(stream)), caller))
        }
    }
}

/// Reads a header of the PROXY protocol and not a byte more: what follows is for another reader.
async fn proxied(socket: &mut Socket) -> io::Result<Result<Option<std::net::SocketAddr>, &'static str>> {
    let mut header = Vec::new();
    loop {
        match proxy_protocol::parse(&header) {
            Err(reason) => return Ok(Err(reason)),
            Ok(Parsed::Header { peer, .. }) => return Ok(Ok(peer)),
            Ok(Parsed::More) => {
                let read = (&mut *socket).take(missing(&header) as u64).read_buf(&mut header).await?;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}

/// Bytes that are missing for certain.
fn missing(header: &[u8]) -> usize {
    let v2_rest = || {
        let length = header.get(LENGTH_V2)?.first_chunk().copied()?;
        Some(FIXED_V2 + usize::from(u16::from_be_bytes(length)))
    };
    let wanted = match header.first() {
        None | Some(b'P') => SHORTEST_V1,
        Some(_) => v2_rest().unwrap_or(FIXED_V2),
    };
    wanted.saturating_sub(header.len()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_is_read_than_the_header_has() {
        let v2 = |len: u8| [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"[..], &[len], &vec![0; len.into()]].concat();
        for whole in
            [b"PROXY UNKNOWN\r\n".to_vec(), b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n".to_vec(), v2(12), v2(40)]
        {
            let mut read = 0;
            while read < whole.len() {
                let more = missing(&whole[..read]);
                assert!(more > 0 && read + more <= whole.len(), "{read} + {more} of {}", whole.len());
                read += more;
            }
        }
    }
}
