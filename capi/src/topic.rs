//! Topics: who is subscribed to them, and what is published.

use crate::boundary::{bytes, call, null, server, text};
use crate::error::Failure;
use crate::error::wsengine_error::WSENGINE_ERR_INVALID;
use crate::send::kind;
use crate::server::wsengine_t;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use wsengine::{ConnId, MAX_TOPIC_BYTES, SendError, Server};

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

/// The same for a topic that tells its members more.
///
/// since, or NULL: the client first gets what it has missed of a topic that the option history names. It is the position that
/// the client was told last, or empty if it knows none yet and wants all there is. The server tells it how things stand, then
/// the messages, each once and in their order; what means nothing is a gap, no error.
///
/// label, or NULL: on a topic that the option presence names the client is shown to all members by this text of at most
/// 1,024 bytes of UTF-8 until it is a member no more, and hears who is there; with an empty text it hears that unseen. Another
/// call gives it another label.
///
/// With the option backplane it is a member as soon as Redis has said what it has missed; 1 then says that this is under way.
/// Its errors are those of wsengine_subscribe(); WSENGINE_ERR_INVALID: also where the options name no such topic.
/// WSENGINE_ERR_WOULD_BLOCK: a member's queue has no room for the list that another label brings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_subscribe_with(
    server: *const wsengine_t,
    conn: u64,
    topic: *const c_char,
    since: *const c_char,
    label: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, topic) = unsafe { (self::server(server)?, name(topic)?) };
        // SAFETY: the same contract; a position that is no UTF-8 means as little as other nonsense.
        let since = unsafe { optional(since) }.map(|since| std::str::from_utf8(since).unwrap_or("?"));
        // SAFETY: the same contract.
        let label = unsafe { optional(label) }.map(std::str::from_utf8).transpose();
        let label = label.map_err(|_| Failure::saying(WSENGINE_ERR_INVALID, c"label is not UTF-8"))?;
        Ok(server.engine.subscribe_with(ConnId::from_u64(conn), topic, since, label)?.into())
    })
}

/// Who is shown on a topic that the option presence names, as JSON: [{"id":"5f0c19ad-17","label":"Ann"},...]. Writes at most
/// size bytes to into, which may be NULL when size is 0, the last of them 0, and returns how many it would be without that.
/// With the option backplane these are the people of all nodes if the topic has members here or
/// the option says its whole name, and this one's otherwise.
/// WSENGINE_ERR_INVALID: a name that no topic can have, or none of the option's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_presence(
    server: *const wsengine_t,
    topic: *const c_char,
    into: *mut c_char,
    size: usize,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, topic) = unsafe { (self::server(server)?, name(topic)?) };
        if into.is_null() && size > 0 {
            return Err(null(c"into is NULL"));
        }
        let people = wsengine::people_to_json(&server.engine.presence(topic)?);
        if let Some(room) = size.checked_sub(1) {
            let len = people.len().min(room);
            // SAFETY: by the header's contract there is room for `size` bytes, which is more than `len`.
            unsafe {
                std::ptr::copy_nonoverlapping(people.as_ptr(), into.cast::<u8>(), len);
                into.add(len).write(0);
            }
        }
        Ok(people.len().try_into().unwrap_or(c_int::MAX))
    })
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

/// How many members a topic has; with the option backplane those of this node. WSENGINE_ERR_INVALID: a name that no topic can
/// have; WSENGINE_ERR_STOPPED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_members(server: *const wsengine_t, topic: *const c_char) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles and for texts.
        let (server, topic) = unsafe { (self::server(server)?, name(topic)?) };
        Ok(server.engine.members(topic)?.try_into().unwrap_or(c_int::MAX))
    })
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
/// `text` is NULL or a C string.
unsafe fn optional<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// # Safety
/// `topic` is NULL or a C string.
#[inline]
unsafe fn name<'a>(topic: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    match unsafe { usual_name(topic) } {
        Some(name) => Ok(name),
        // SAFETY: the same.
        None => unsafe { any_name(topic) },
    }
}

/// A name of ASCII. strlen() and the validator of UTF-8 are far from here and from each other: where a broadcast has swept the
/// caches they take longer than any other step of a call but the search for the topic.
///
/// # Safety
/// `topic` is NULL or a C string.
#[inline]
unsafe fn usual_name<'a>(topic: *const c_char) -> Option<&'a str> {
    let topic = NonNull::new(topic.cast_mut())?.cast::<u8>();
    for len in 0..=MAX_TOPIC_BYTES {
        // SAFETY: no byte before it was the NUL.
        let byte = unsafe { topic.add(len).read() };
        if byte == 0 {
            // SAFETY: so many bytes were read, and all of them are ASCII.
            return Some(unsafe {
                std::str::from_utf8_unchecked(std::slice::from_raw_parts(topic.as_ptr(), len))
            });
        }
        if !byte.is_ascii() {
            break;
        }
    }
    None
}

/// # Safety
/// `topic` is NULL or a C string.
#[cold]
unsafe fn any_name<'a>(topic: *const c_char) -> Result<&'a str, Failure> {
    // SAFETY: the caller's promise.
    let name = unsafe { text(topic, c"topic is NULL") }?;
    std::str::from_utf8(name).map_err(|_| Failure::saying(WSENGINE_ERR_INVALID, c"topic is not UTF-8"))
}
