//! Topics: who is subscribed to them, and what is published.

use crate::boundary::{bytes, call, server, text};
use crate::error::Failure;
use crate::error::wsengine_error::WSENGINE_ERR_INVALID;
use crate::send::kind;
use crate::server::wsengine_t;
use std::ffi::{c_char, c_int, c_void};
use wsengine::{ConnId, SendError, Server};

/// Makes a connection a member of a topic, until it is unsubscribed or open no more. A topic needs no making: it is
/// there as long as it has members. topic: 1 to 256 bytes of UTF-8. Returns 1, or 0 when it was a member before.
/// WSENGINE_ERR_INVALID: another name; WSENGINE_ERR_NOT_CONNECTED; WSENGINE_ERR_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_subscribe(
    server: *const wsengine_t,
    conn: u64,
    topic: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { change(server, conn, topic, Server::subscribe) }
}

/// Ends a membership. Returns 1, or 0 when there was none. Its errors are those of wsengine_subscribe().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_unsubscribe(
    server: *const wsengine_t,
    conn: u64,
    topic: *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { change(server, conn, topic, Server::unsubscribe) }
}

/// Queues a message for those who are members of a topic now and returns for how many. It takes the same time however
/// many they are. It keeps its place among what this thread sends and broadcasts; what happens to slow members says the
/// option slow_consumer, as for wsengine_broadcast(), and so are the errors. WSENGINE_ERR_INVALID: also a name that no
/// topic can have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_publish(
    server: *const wsengine_t,
    topic: *const c_char,
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { publish(server, topic, &[], kind, data, len) }
}

/// As wsengine_publish(), but not to the connection except.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_publish_except(
    server: *const wsengine_t,
    topic: *const c_char,
    except: u64,
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { publish(server, topic, &[ConnId::from_u64(except)], kind, data, len) }
}

/// # Safety
/// The contract of wsengine_subscribe().
unsafe fn change(
    server: *const wsengine_t,
    conn: u64,
    topic: *const c_char,
    change: impl FnOnce(&Server, ConnId, &str) -> Result<bool, SendError>,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, topic) = unsafe { (self::server(server)?, name(topic)?) };
        Ok(change(&server.engine, ConnId::from_u64(conn), topic)?.into())
    })
}

/// # Safety
/// The contract of wsengine_publish().
unsafe fn publish(
    server: *const wsengine_t,
    topic: *const c_char,
    except: &[ConnId],
    kind: c_int,
    data: *const c_void,
    len: usize,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles, texts and data.
        let (server, topic, data) = unsafe { (self::server(server)?, name(topic)?, bytes(data, len)?) };
        let count = server.engine.publish(self::kind(kind)?, topic, data, except)?;
        Ok(count.try_into().unwrap_or(c_int::MAX))
    })
}

/// # Safety
/// `topic` is NULL or a C string.
unsafe fn name<'a>(topic: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    let name = unsafe { text(topic, c"topic is NULL") }?;
    std::str::from_utf8(name).map_err(|_| Failure::saying(WSENGINE_ERR_INVALID, c"topic is not UTF-8"))
}
