//! Opening handshakes: what the request holds, and what the host decides.

use crate::boundary::{call, guard, null, server, text};
use crate::error::Failure;
use crate::error::wsengine_error::{WSENGINE_ERR_DECIDED, WSENGINE_ERR_INVALID};
use crate::server::wsengine_t;
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int};
use wsengine::{ConnId, Request, SendError};

/// The request of a client that asks to connect or has connected; see request in wsengine_event_t.
// C has pointers to it only, and they are to the engine's own.
pub struct wsengine_request_t {
    _opaque: [u8; 0],
}

/// The value of a header of the request, its name in any case, or NULL if there is none. One that came several times
/// is one value, joined by ", " (cookies by "; "). What is no header has a name with a colon before it: ":method",
/// ":path", ":query", ":scheme" ("ws" or "wss"), ":peer" (the client's address, also behind trusted proxies) and
/// ":subprotocol" (the one agreed on; not before OPEN). Only while the event is valid, by the thread that polls; the
/// text, which ends with a NUL, is valid until the next poll of this server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_request_header(
    server: *const wsengine_t,
    request: *const wsengine_request_t,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: the same contract.
    unsafe { look_up(server, request, name, header) }
}

/// The value of a cookie of the request, or NULL if it has none of this name; of two the first. As valid as the
/// answer of wsengine_request_header().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_request_cookie(
    server: *const wsengine_t,
    request: *const wsengine_request_t,
    name: *const c_char,
) -> *const c_char {
    // SAFETY: the same contract.
    unsafe { look_up(server, request, name, cookie) }
}

/// Lets the client in that a HANDSHAKE event asks for; OPEN follows unless it has left meanwhile, and from then on it
/// can be sent to.
/// subprotocol: NULL (the option subprotocols chooses) or one that the client offers. headers: NULL, or lines such as
/// "Set-Cookie: a=1\r\n" for the answer. Any thread. WSENGINE_ERR_DECIDED: it is too late; WSENGINE_ERR_STOPPED.
/// WSENGINE_ERR_INVALID: a subprotocol that is not offered, or headers that cannot be sent; nothing is decided then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_accept(
    server: *const wsengine_t,
    conn: u64,
    subprotocol: *const c_char,
    headers: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, subprotocol, headers) = unsafe {
            let subprotocol = optional(subprotocol, c"subprotocol is not UTF-8")?;
            (self::server(server)?, subprotocol, optional(headers, c"headers is not UTF-8")?)
        };
        let lines = lines(headers.unwrap_or_default())?;
        decided(server.engine.accept(ConnId::from_u64(conn), subprotocol, &lines))
    })
}

/// Turns such a client away. status: 300 to 599; body: NULL or text; headers: as for wsengine_accept(), such as
/// "WWW-Authenticate: Basic realm=\"chat\"\r\n" with 401. Its errors are those of wsengine_accept().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_reject(
    server: *const wsengine_t,
    conn: u64,
    status: c_int,
    body: *const c_char,
    headers: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, body, headers) = unsafe {
            let body = optional(body, c"body is not UTF-8")?;
            (self::server(server)?, body, optional(headers, c"headers is not UTF-8")?)
        };
        let lines = lines(headers.unwrap_or_default())?;
        let no_status = |_| {
            let text = format!("status is {status}, which is none of HTTP");
            Failure::explained(WSENGINE_ERR_INVALID, text)
        };
        let status = u16::try_from(status).map_err(no_status)?;
        decided(server.engine.reject(ConnId::from_u64(conn), status, body.unwrap_or_default(), &lines))
    })
}

fn decided(outcome: Result<(), SendError>) -> Result<c_int, Failure> {
    match outcome {
        Ok(()) => Ok(0),
        Err(SendError::Gone) => Err(Failure::new(WSENGINE_ERR_DECIDED)),
        Err(error) => Err(error.into()),
    }
}

/// # Safety
/// The contract of wsengine_request_header().
unsafe fn look_up(
    server: *const wsengine_t,
    request: *const wsengine_request_t,
    name: *const c_char,
    value: impl for<'a> Fn(&'a Request, &str) -> Option<Cow<'a, [u8]>>,
) -> *const c_char {
    let look_up = || {
        // SAFETY: the header's contract for handles, for events that are valid, and for texts.
        let (server, request, name) = unsafe {
            let request = request.cast::<Request>().as_ref().ok_or_else(|| null(c"request is NULL"))?;
            (self::server(server)?, request, text(name, c"name is NULL")?)
        };
        let Some(value) = value(request, &String::from_utf8_lossy(name)) else { return Ok(std::ptr::null()) };
        // Neither HTTP nor an address has a NUL.
        let value = CString::new(value.into_owned()).unwrap_or_default();
        let texts = &mut server.polled().texts;
        texts.push(value);
        // The heap holds the text, so that it stays where it is.
        Ok(texts.last().map_or(std::ptr::null(), |text| text.as_ptr()))
    };
    guard(|_| std::ptr::null(), look_up)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, [u8]>> {
    let text = |text: &'a str| Some(Cow::Borrowed(text.as_bytes()));
    match name {
        ":method" => text("GET"),
        ":path" => text(&request.path),
        ":query" => text(&request.query),
        ":scheme" => text(if request.tls { "wss" } else { "ws" }),
        ":peer" => Some(Cow::Owned(request.peer.to_string().into_bytes())),
        ":subprotocol" => request.subprotocol.as_deref().and_then(text),
        name => request.header(name),
    }
}

fn cookie<'a>(request: &'a Request, name: &str) -> Option<Cow<'a, [u8]>> {
    request.cookies().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| Cow::Borrowed(value))
}

/// # Safety
/// `text` is NULL or ends with a NUL, and nobody writes to it while the slice lives.
unsafe fn optional<'a>(text: *const c_char, not_utf8: &'static CStr) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map(Some).map_err(|_| Failure::saying(WSENGINE_ERR_INVALID, not_utf8))
}

/// Header lines, each `Name: value`.
fn lines(headers: &str) -> Result<Vec<(&str, &str)>, Failure> {
    let pair = |line| match str::split_once(line, ':') {
        Some((name, value)) => Ok((name, value.trim())),
        None => Err(Failure::explained(
            WSENGINE_ERR_INVALID,
            format!("header line {line:?} has no colon; lines are as \"Name: value\\r\\n\""),
        )),
    };
    headers.lines().filter(|line| !line.is_empty()).map(pair).collect()
}
