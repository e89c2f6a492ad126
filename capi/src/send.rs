//! What goes to the peers: messages and closes. All calls only queue, and may come from any thread.

use crate::boundary::{bytes, call, guard, server, text};
use crate::error::Failure;
use crate::error::wsengine_error::{WSENGINE_ERR_INVALID, WSENGINE_ERR_UTF8};
use crate::event::wsengine_kind::{WSENGINE_BINARY, WSENGINE_TEXT};
use crate::server::wsengine_t;
use std::ffi::{c_char, c_int, c_void};
use wsengine::{ConnId, Kind};

/// Queues a message for one connection and returns; data is copied. kind: WSENGINE_TEXT or WSENGINE_BINARY.
/// Messages of one thread to one connection keep their order. WSENGINE_ERR_WOULD_BLOCK: its queue is full, nothing
/// was queued, a WSENGINE_EVENT_DRAIN follows when it is below half. WSENGINE_ERR_NOT_CONNECTED;
/// WSENGINE_ERR_TOO_BIG: larger than the option send_queue_bytes; WSENGINE_ERR_UTF8: text that is none;
/// WSENGINE_ERR_UNSUPPORTED: binary to a client of draft-76; WSENGINE_ERR_STOPPED; WSENGINE_ERR_INVALID: another kind,
/// or data is NULL and len is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_send(
    server: *const wsengine_t,
    conn: u64,
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for data.
        let (server, data) = unsafe { (self::server(server)?, bytes(data, len)?) };
        server.engine.send(ConnId::from_u64(conn), self::kind(kind)?, data)?;
        Ok(0)
    })
}

/// Queues a message for every open connection and returns for how many. It takes the same time however many they are,
/// and never waits for slow ones: the option slow_consumer says what happens to them. WSENGINE_ERR_TOO_BIG,
/// WSENGINE_ERR_UTF8, WSENGINE_ERR_STOPPED, WSENGINE_ERR_INVALID: as for wsengine_send().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_broadcast(
    server: *const wsengine_t,
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { broadcast(server, &[], kind, data, len) }
}

/// As wsengine_broadcast(), but not to the connection except.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_broadcast_except(
    server: *const wsengine_t,
    except: u64,
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { broadcast(server, &[ConnId::from_u64(except)], kind, data, len) }
}

/// Starts the closing handshake after what is already queued; the CLOSE event follows. code: 1000 to 1003, 1007 to
/// 1014 or 3000 to 4999; reason: NULL or up to 123 bytes of UTF-8 (RFC 6455, section 7.4). WSENGINE_ERR_INVALID: another
/// code, or a longer reason; WSENGINE_ERR_UTF8; WSENGINE_ERR_NOT_CONNECTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_close(
    server: *const wsengine_t,
    conn: u64,
    code: u16,
    reason: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        let reason = match reason.is_null() {
            true => "",
            // SAFETY: by the header's contract a C string.
            false => std::str::from_utf8(unsafe { text(reason, c"reason is NULL") }?)
                .map_err(|_| Failure::saying(WSENGINE_ERR_UTF8, c"the close reason is not UTF-8"))?,
        };
        server.engine.close(ConnId::from_u64(conn), code, reason)?;
        Ok(0)
    })
}

/// Cuts a connection without a closing handshake, also one that is closing; what is queued is lost. The CLOSE event
/// follows; its code is 1006, or that of a close frame that was sent before. WSENGINE_ERR_NOT_CONNECTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_abort(server: *const wsengine_t, conn: u64) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        server.engine.abort(ConnId::from_u64(conn))?;
        Ok(0)
    })
}

/// Bytes queued for a connection that the system has not taken yet, frame headers included, or an error below 0, such as
/// WSENGINE_ERR_NOT_CONNECTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_buffered(server: *const wsengine_t, conn: u64) -> i64 {
    let buffered = || {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        Ok(server.engine.buffered(ConnId::from_u64(conn))?.try_into().unwrap_or(i64::MAX))
    };
    guard(i64::from, buffered)
}

/// 1 while a connection can be sent to, else 0. It may be gone a moment later: wsengine_send() tells too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_is_open(server: *const wsengine_t, conn: u64) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        Ok(server.engine.is_open(ConnId::from_u64(conn)).into())
    })
}

/// # Safety
/// The contract of wsengine_broadcast().
unsafe fn broadcast(
    server: *const wsengine_t,
    except: &[ConnId],
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for data.
        let (server, data) = unsafe { (self::server(server)?, bytes(data, len)?) };
        let count = server.engine.broadcast(self::kind(kind)?, data, except)?;
        Ok(count.try_into().unwrap_or(c_int::MAX))
    })
}

pub(crate) fn kind(kind: c_int) -> Result<Kind, Failure> {
    const TEXT: c_int = WSENGINE_TEXT as c_int;
    const BINARY: c_int = WSENGINE_BINARY as c_int;
    match kind {
        TEXT => Ok(Kind::Text),
        BINARY => Ok(Kind::Binary),
        _ => Err(Failure::explained(
            WSENGINE_ERR_INVALID,
            format!("kind is {kind}; allowed are WSENGINE_TEXT (1) and WSENGINE_BINARY (2)"),
        )),
    }
}
