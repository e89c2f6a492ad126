//! Answering an opening handshake: the protocol judges the request, there must be a seat, and where the option
//! `handshake_events` says so the host decides.

use crate::event::Request;
use crate::hub;
use crate::link::{Seat, Shared};
use crate::peer::{self, Peer};
use crate::preface::Caller;
use crate::response::{Response, empty, full, refused};
use crate::undecided::{self, Decision, Reserved, Undecided};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;
use std::time::Instant;
use wsengine_proto::deflate::Parameters;
use wsengine_proto::handshake::{self, Accepted, Refusal};
use wsengine_proto::hixie76::{self, Opening};

const UNDECIDED: Refusal =
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "The server did not decide on this handshake in time.");
const TOO_MANY_UNDECIDED: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "Too many handshakes wait for a decision; try again later.",
);
const NO_SLOT: Refusal =
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "The server is full; try again later.");

/// How a request is answered.
pub(crate) enum Answer {
    /// By a response, after which there may be another request.
    Refused(Response),
    /// By the 101, after which there is a connection.
    Switching(Response, Upgrade),
    /// By the 101 of draft-76, which takes eight more bytes to be made. It has these headers besides.
    Hixie76(Opening, HeaderMap, Upgrade),
}

/// What a connection is made of when its handshake has succeeded.
pub(crate) struct Upgrade {
    pub(crate) slot: Reserved,
    pub(crate) request: Request,
    pub(crate) seat: Seat,
    pub(crate) dialect: Dialect,
}

/// Which protocol a connection speaks.
pub(crate) enum Dialect {
    /// RFC 6455, perhaps with compressed messages.
    Rfc6455(Option<Parameters>),
    /// The draft of 2010, which has text messages only.
    Hixie76,
}

/// A socket's side of a handshake.
pub(crate) struct Asking<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) caller: Caller,
    /// How long the host may take to decide.
    pub(crate) deadline: Instant,
}

/// A request that the protocol has nothing against.
enum Sound {
    Rfc6455(Accepted),
    Hixie76(Opening),
}

/// What the host says to it, and the places it has got.
struct Welcome {
    slot: Reserved,
    seat: Seat,
    /// The host's own choice.
    subprotocol: Option<String>,
    headers: HeaderMap,
}

/// Why there is no connection.
enum Denied {
    ByEngine(Refusal),
    ByHost { status: StatusCode, body: String, headers: HeaderMap },
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Denied::ByEngine(refusal)
    }
}

/// Answers an opening handshake.
pub(crate) async fn answer<B>(request: http::Request<B>, asking: Asking<'_>) -> Answer {
    let settings = &asking.shared.settings;
    let Caller { peer, tls, is_unnamed } = asking.caller;
    let (peer, tls) = match is_unnamed {
        true => (peer, tls),
        false => {
            let header = settings.proxy_header;
            let client = peer::client(peer, request.headers(), &settings.trusted_proxies, header);
            (client.peer, client.tls.unwrap_or(tls))
        }
    };
    let policy = &asking.shared.policy;
    let sound = match settings.hixie76 && hixie76::is_hixie76(&request) {
        true => hixie76::answer(&request, policy, tls).map(Sound::Hixie76),
        false => handshake::answer(&request, policy).map(Sound::Rfc6455),
    };
    let request = describe(request, peer, tls);
    let outcome = match sound {
        Ok(sound) => welcome(&request, &asking).await.map(|welcome| (sound, welcome)),
        Err(refusal) => Err(refusal.into()),
    };
    match outcome {
        Ok((sound, welcome)) => sound.answer(request, welcome),
        Err(denied) => Answer::Refused(denied.response(&request)),
    }
}

impl Sound {
    fn answer(self, mut request: Request, welcome: Welcome) -> Answer {
        let Welcome { slot, seat, subprotocol, headers } = welcome;
        match self {
            Sound::Rfc6455(mut accepted) => {
                accepted.subprotocol = subprotocol.or(accepted.subprotocol);
                log(&request, StatusCode::SWITCHING_PROTOCOLS, &accepted.accept);
                let mut response = accepted.response().map(|()| empty());
                response.headers_mut().extend(headers);
                request.subprotocol = accepted.subprotocol;
                let dialect = Dialect::Rfc6455(accepted.compression);
                Answer::Switching(response, Upgrade { slot, request, seat, dialect })
            }
            Sound::Hixie76(mut opening) => {
                if subprotocol.is_some() {
                    opening.choose_subprotocol(subprotocol);
                }
                log(&request, StatusCode::SWITCHING_PROTOCOLS, "draft-76");
                request.subprotocol = opening.subprotocol().map(str::to_owned);
                let dialect = Dialect::Hixie76;
                Answer::Hixie76(opening, headers, Upgrade { slot, request, seat, dialect })
            }
        }
    }
}

/// Looks for a seat and asks the host.
async fn welcome(request: &Request, asking: &Asking<'_>) -> Result<Welcome, Denied> {
    let full = |reason| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason);
    let seat = Seat::take(asking.shared, request.peer.ip()).map_err(full)?;
    if !asking.shared.settings.handshake_events {
        let slot = Reserved::take().ok_or(NO_SLOT)?;
        return Ok(Welcome { slot, seat, subprotocol: None, headers: HeaderMap::new() });
    }
    match undecided::ask(request.clone(), asking.deadline).await {
        Ok((slot, Decision::Accept { subprotocol, headers })) => {
            Ok(Welcome { slot, seat, subprotocol, headers })
        }
        Ok((_, Decision::Reject { status, body, headers })) => Err(Denied::ByHost { status, body, headers }),
        Err(Undecided::TooMany) => Err(TOO_MANY_UNDECIDED.into()),
        Err(Undecided::TooLate) => Err(UNDECIDED.into()),
    }
}

impl Denied {
    fn response(self, request: &Request) -> Response {
        match self {
            Denied::ByEngine(refusal) => {
                log(request, refusal.status, refusal.reason);
                count_refusal(&refusal, &request.peer);
                refused(&refusal)
            }
            Denied::ByHost { status, body, headers } => {
                log(request, status, "rejected by the host");
                hub::with(|hub| hub.link().counters.refused.add(1));
                let mut response = Response::new(full(body));
                *response.status_mut() = status;
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, text);
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                response.headers_mut().extend(headers);
                response
            }
        }
    }
}

/// What the host is told of the request.
fn describe<B>(request: http::Request<B>, peer: Peer, tls: bool) -> Request {
    let (head, _) = request.into_parts();
    Request {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        peer,
        subprotocol: None,
        tls,
    }
}

/// Counts a refusal of the engine's own and logs it.
pub(crate) fn count_refusal(refusal: &Refusal, peer: &Peer) {
    hub::with(|hub| hub.count_refused(peer, Some(refusal.status.as_u16()), refusal.reason));
}

/// What the push server of old printed for each client.
fn log(request: &Request, response: StatusCode, answer: &str) {
    let header = |name: header::HeaderName| {
        request.headers.get(name).map_or("", |value| value.to_str().unwrap_or("(not text)"))
    };
    tracing::debug!(
        peer = %request.peer,
        version = header(header::SEC_WEBSOCKET_VERSION),
        path = request.path,
        host = header(header::HOST),
        origin = header(header::ORIGIN),
        key = header(header::SEC_WEBSOCKET_KEY),
        %response,
        answer,
        "handshake"
    );
}
