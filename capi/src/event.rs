//! Events as C sees them, and the calls that wait for them.

use crate::boundary::{call, null, server};
use crate::error::Failure;
use crate::error::wsengine_error::{WSENGINE_ERR_BUSY, WSENGINE_ERR_INVALID, WSENGINE_ERR_STOPPED};
use crate::handshake::wsengine_request_t;
use crate::server::{Polled, millis, wsengine_t};
use std::ffi::{CString, c_int, c_void};
use wsengine::{Event, EventBody, Kind, Request, Wait};

/// Kinds of messages.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum wsengine_kind {
    /// UTF-8 text (opcode 1).
    WSENGINE_TEXT = 1,
    /// Any bytes (opcode 2).
    WSENGINE_BINARY = 2,
}

use wsengine_kind::*;

/// Values of type in wsengine_event_t. Ignore those you do not know: later versions may add some.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum wsengine_event_type {
    /// No event: the type of the first one when a poll took none.
    WSENGINE_EVENT_NONE = 0,
    /// A client asks to connect; only with the option handshake_events. Answer with wsengine_accept() or
    /// wsengine_reject() before handshake_timeout_ms is over. data/len: request target, path and query. OPEN has the same
    /// conn; after a rejection, or when the client leaves or the time is over, nothing follows.
    WSENGINE_EVENT_HANDSHAKE = 1,
    /// A connection is open. data/len: request target, path and query.
    WSENGINE_EVENT_OPEN = 2,
    /// A whole message arrived. kind: WSENGINE_TEXT (valid UTF-8) or WSENGINE_BINARY; data/len: payload.
    WSENGINE_EVENT_MESSAGE = 3,
    /// A connection has ended; exactly one for each OPEN, the last event of its id. code: close code, 1005 when the
    /// close frame had none, 1006 when there was no close frame; data/len: reason; flags: WSENGINE_FLAG_CLEAN.
    WSENGINE_EVENT_CLOSE = 4,
    /// The send queue, full before, is below half: sending works again. code: messages that broadcasts left out
    /// for this connection since it was full (option slow_consumer).
    WSENGINE_EVENT_DRAIN = 5,
    /// Trouble that belongs to no connection, such as no descriptors left. conn is 0; code: errno or 0; data/len:
    /// text. The server goes on.
    WSENGINE_EVENT_ERROR = 6,
    /// The server has stopped; its last event. conn is 0.
    WSENGINE_EVENT_STOPPED = 7,
    /// The backplane is there (code 1) or is lost (code 0); only with the option backplane. conn is 0; flags:
    /// WSENGINE_FLAG_GAP; data/len: why it is lost. While it is, this node serves its own connections alone.
    WSENGINE_EVENT_BACKPLANE = 8,
}

use wsengine_event_type::*;

/// Bit of flags in wsengine_event_t: both sides sent a close frame.
pub const WSENGINE_FLAG_CLEAN: u32 = 1;
/// Bit of flags: the backplane was lost before, so messages of other nodes may have been missed.
pub const WSENGINE_FLAG_GAP: u32 = 2;

/// An event. 64 bytes on 64-bit systems. data is valid until the next poll of this server: copy what you keep.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct wsengine_event_t {
    /// One of enum wsengine_event_type.
    pub r#type: u16,
    /// MESSAGE: enum wsengine_kind; else 0.
    pub kind: u16,
    /// WSENGINE_FLAG_... bits.
    pub flags: u32,
    /// Connection id, below 2^63, never given again in the life of the server; 0 for events of the server itself.
    pub conn: u64,
    /// Payload without a NUL at its end; never NULL.
    pub data: *const u8,
    /// Length of data in bytes; may be 0.
    pub len: usize,
    /// HANDSHAKE and OPEN: what the request holds, for wsengine_request_header(); else NULL. As valid as data.
    pub request: *const wsengine_request_t,
    /// OPEN to CLOSE: where you may keep a pointer of your own, NULL at first; the same place with each event of the
    /// connection, valid until the poll after that which gave CLOSE. wsengine never follows it: free what it points to
    /// with CLOSE. Else NULL.
    pub user_data: *mut *mut c_void,
    /// Microseconds from the server's start to when it happened.
    pub time_us: u64,
    /// CLOSE, DRAIN, ERROR, BACKPLANE: see there; else 0.
    pub code: i32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<*const u8>() != 8 || size_of::<wsengine_event_t>() == 64);

/// Takes one event: wsengine_poll_events() with max 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_poll_event(
    server: *mut wsengine_t,
    event: *mut wsengine_event_t,
    timeout_ms: c_int,
) -> c_int {
    // SAFETY: the same contract, for one event.
    unsafe { wsengine_poll_events(server, event, 1, timeout_ms) }
}

/// Takes up to max events and waits up to timeout_ms for the first one (0: not at all, -1: without limit).
/// Returns how many it took, which may be less than wait; 0 after timeout_ms, after wsengine_wakeup() or when a signal
/// handler ran meanwhile. When it takes none, the type of the first is WSENGINE_EVENT_NONE, but not when another polls.
/// WSENGINE_ERR_STOPPED: WSENGINE_EVENT_STOPPED was taken before; WSENGINE_ERR_BUSY: another thread polls.
/// What the events polled before point to is gone after it, however it ends but with WSENGINE_ERR_BUSY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_poll_events(
    server: *mut wsengine_t,
    events: *mut wsengine_event_t,
    max: usize,
    timeout_ms: c_int,
) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        if events.is_null() {
            return Err(null(c"events is NULL"));
        }
        if max == 0 {
            return Err(Failure::saying(WSENGINE_ERR_INVALID, c"max is 0"));
        }
        let max = max.min(c_int::MAX as usize);
        let mut poller = server.engine.poller().ok_or_else(|| Failure::new(WSENGINE_ERR_BUSY))?;
        // SAFETY: by the header's contract there is room for `max` events, which need not be initialised.
        unsafe { (&raw mut (*events).r#type).write(WSENGINE_EVENT_NONE as u16) };
        match poller.wait(millis(timeout_ms), || false) {
            Wait::Events => {}
            Wait::Timeout | Wait::Woken | Wait::Interrupted => return Ok(0),
            Wait::Stopped => return Err(Failure::new(WSENGINE_ERR_STOPPED)),
        }
        let mut polled = server.polled();
        let Polled { texts, places } = &mut *polled;
        texts.clear();
        places.next_poll();
        let mut taken = 0;
        while taken < max {
            let Some(event) = poller.next_if(|event| places.is_free_for(event)) else { break };
            let user_data = places.of(&event);
            let event = wsengine_event_t { user_data, ..wsengine_event_t::new(&event, texts) };
            // SAFETY: as above.
            unsafe { events.add(taken).write(event) };
            taken += 1;
        }
        Ok(taken as c_int)
    })
}

/// A descriptor that is readable (level-triggered) while events wait, after wsengine_wakeup(), and when the server has
/// stopped, for poll(2), epoll and event loops: a poll would not wait. Also once after the first call, until the next
/// poll, in case something waits already.
/// It is the server's: only wait on it, never read, write or close it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_event_fd(server: *const wsengine_t) -> c_int {
    call(|| {
        // SAFETY: the header's contract for handles.
        let server = unsafe { self::server(server) }?;
        Ok(server.engine.event_fd())
    })
}

/// Makes the poll that waits now, or else the next one, return 0; but after one that did so, events that wait come first.
/// Any thread; async-signal-safe; also allowed in a log function. It leaves wsengine_last_error() alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_wakeup(server: *const wsengine_t) -> c_int {
    // Outside the boundary, whose texts of errors allocate: a signal handler must not.
    // SAFETY: the header's contract for handles.
    let Some(server) = (unsafe { server.as_ref() }) else { return WSENGINE_ERR_INVALID as c_int };
    match server.enter() {
        Ok(server) => {
            server.engine.wakeup();
            0
        }
        Err(error) => error as c_int,
    }
}

impl wsengine_event_t {
    /// Borrows from the poller's batch and from `texts`; both live until the next poll.
    fn new(event: &Event<'_>, texts: &mut Vec<CString>) -> Self {
        let blank = wsengine_event_t {
            r#type: WSENGINE_EVENT_NONE as u16,
            kind: 0,
            flags: 0,
            conn: event.conn.map_or(0, |conn| conn.as_u64()),
            data: c"".as_ptr().cast(),
            len: 0,
            request: std::ptr::null(),
            user_data: std::ptr::null_mut(),
            time_us: event.time.as_micros() as u64,
            code: 0,
            reserved: 0,
        };
        match event.body {
            EventBody::Handshake(request) => {
                blank.of(WSENGINE_EVENT_HANDSHAKE).with(target(request, texts)).of_request(request)
            }
            EventBody::Open(request) => {
                blank.of(WSENGINE_EVENT_OPEN).with(target(request, texts)).of_request(request)
            }
            EventBody::Message { kind, data } => {
                let kind = if kind == Kind::Text { WSENGINE_TEXT } else { WSENGINE_BINARY };
                wsengine_event_t { kind: kind as u16, ..blank }.of(WSENGINE_EVENT_MESSAGE).with(data)
            }
            EventBody::Drain { dropped } => {
                let code = dropped.try_into().unwrap_or(i32::MAX);
                wsengine_event_t { code, ..blank }.of(WSENGINE_EVENT_DRAIN)
            }
            EventBody::Close { code, reason, clean } => {
                let flags = if clean { WSENGINE_FLAG_CLEAN } else { 0 };
                let close = wsengine_event_t { flags, code: code.into(), ..blank };
                close.of(WSENGINE_EVENT_CLOSE).with(reason.as_bytes())
            }
            EventBody::Error { errno, message } => {
                wsengine_event_t { code: errno, ..blank }.of(WSENGINE_EVENT_ERROR).with(message.as_bytes())
            }
            EventBody::Backplane { up, gap, reason } => {
                let flags = if gap { WSENGINE_FLAG_GAP } else { 0 };
                let backplane = wsengine_event_t { flags, code: up.into(), ..blank };
                backplane.of(WSENGINE_EVENT_BACKPLANE).with(reason.as_bytes())
            }
            EventBody::Stopped => blank.of(WSENGINE_EVENT_STOPPED),
        }
    }

    fn of(self, kind: wsengine_event_type) -> Self {
        wsengine_event_t { r#type: kind as u16, ..self }
    }

    fn of_request(self, request: &Request) -> Self {
        wsengine_event_t { request: std::ptr::from_ref(request).cast(), ..self }
    }

    fn with(self, bytes: &[u8]) -> Self {
        wsengine_event_t { data: bytes.as_ptr(), len: bytes.len(), ..self }
    }
}

/// Path and query in one piece, as they came. The heap holds the text, so `texts` may grow.
fn target<'a>(request: &'a Request, texts: &'a mut Vec<CString>) -> &'a [u8] {
    if request.query.is_empty() {
        return request.path.as_bytes();
    }
    texts.push(CString::new(format!("{}?{}", request.path, request.query)).unwrap_or_default());
    texts.last().map_or(&[], |text| text.as_bytes())
}
