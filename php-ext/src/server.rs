//! The one server of the process, and what each function does with it.
//!
//! The server belongs to the thread that started it. One that stops stays until the script ends or starts another,
//! so that the last events can be polled.

use crate::args::{Args, Outcome, text};
use crate::event::{write_event, write_server_info};
use crate::exception::Failure;
use crate::signal::Watch;
use crate::zend::{Entry, List, Slot};
use crate::{fork, log, options, signal, zend};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use wsengine::{ConnId, Event, EventBody, Kind, Poller, SendError, Server, Wait};

/// Close codes of RFC 6455 7.4.1 at the end of the script, and of one that died.
const GOING_AWAY: u16 = 1001;
const INTERNAL_ERROR: u16 = 1011;
/// What a close frame has room for beside the code (RFC 6455 5.5).
const MAX_REASON_BYTES: usize = 123;
/// A script that has ended waits no longer than this for its clients.
const DRAIN_AT_END: Duration = Duration::from_secs(1);
/// The engine's threads need a moment more than the drain to end.
const GRACE: Duration = Duration::from_millis(500);
/// Events for which a list has room before it grows.
const USUAL_EVENTS: usize = 32;
/// Events with so much data are given at once, and no more: copies of all would go through the processor's cache before the
/// first is used, and through the script's memory_limit.
const ENOUGH_BYTES: usize = 256 * 1024;
/// Longer waits are cut to this: 30 years, which every clock can add.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// What a script has started.
pub(crate) struct Running {
    pub(crate) server: Arc<Server>,
    watch: Cell<Option<Watch>>,
    stopping: Cell<bool>,
}

thread_local! {
    /// From `Box::into_raw`, or null. A plain pointer, for a fatal error may jump out of a function at any moment
    /// and a guard would stay locked.
    static CURRENT: Cell<*const Running> = const { Cell::new(ptr::null()) };
}
/// The process that has a server, 0 when there is none. Other threads than the one that started it need it.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// `ws_server_start(array|string $options = []): WsEngine\ServerInfo`
pub(crate) fn start(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 1)?;
    let config = options::config(args.array_or_bytes(1)?)?;
    refuse_other_interfaces()?;
    refuse_second_server()?;
    // SAFETY: as in `end_of_script`.
    if unsafe { CURRENT.get().as_ref() }.is_some_and(|running| !running.server.is_in_child()) {
        // A server that is stopping still has its drain.
        wait_until_stopped(LONGEST);
        release();
    }
    log::start();
    let mut server = Server::start(&config)?;
    if zend::function_exists("pcntl_fork") {
        server.serve_children()?;
    }
    let server = Arc::new(server);
    fork::watch();
    let watch = Watch::start(&server).map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(0);
        Failure::Exception(format!("cannot watch for signals: {error}"), errno)
    })?;
    OWNER.store(process_id(), Ordering::Release);
    let running = Running { server, watch: Cell::new(watch), stopping: Cell::new(false) };
    let running = Box::into_raw(Box::new(running));
    CURRENT.set(running);
    // SAFETY: just made; only `release` frees it, and that is not called before we return.
    write_server_info(unsafe { &(*running).server }, result);
    Ok(())
}

/// `ws_poll_event(float $timeout = -1): ?WsEngine\Event`
pub(crate) fn poll_event(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 1)?;
    let timeout = timeout(1, args.float_or(1, -1.0)?)?;
    let mut poller = poller(args)?;
    wait(&mut poller, timeout);
    if let Some(event) = poller.next() {
        write_event(&event, result);
    }
    Ok(())
}

/// `ws_poll_events(int $max = 256, float $timeout = -1): array`
pub(crate) fn poll_events(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 2)?;
    let max = args.int_or(1, 256)?;
    let timeout = timeout(2, args.float_or(2, -1.0)?)?;
    let max = match usize::try_from(max) {
        Ok(max) if max > 0 => max,
        _ => return Err(Failure::Value(1, format!("must be at least 1, {max} given"))),
    };
    let mut poller = poller(args)?;
    wait(&mut poller, timeout);
    let Some(first) = poller.next() else {
        result.empty_array();
        return Ok(());
    };
    let mut list = List::new(max.min(USUAL_EVENTS), result);
    let mut bytes = payload_bytes(&first);
    list.push(|slot| write_event(&first, slot));
    for _ in 1..max {
        if bytes >= ENOUGH_BYTES {
            break;
        }
        let Some(event) = poller.next() else { break };
        bytes += payload_bytes(&event);
        list.push(|slot| write_event(&event, slot));
    }
    Ok(())
}

fn payload_bytes(event: &Event<'_>) -> usize {
    if let EventBody::Message { data, .. } = event.body { data.len() } else { 0 }
}

/// `ws_send(int $conn, string $data, bool $binary = false): bool`
#[inline]
pub(crate) fn send(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(2, 3)?;
    let conn = args.int(1)?;
    let data = args.bytes(2)?;
    let kind = kind(args.bool_or(3, false)?);
    match current(args)?.server.send(conn_id(conn), kind, data) {
        Ok(()) => result.bool(true),
        Err(SendError::Gone | SendError::QueueFull | SendError::Stopped) => result.bool(false),
        Err(error) => return Err(message_failure(args, 2, error)),
    }
    Ok(())
}

/// `ws_broadcast(string $data, bool $binary = false, array $except = []): int`
pub(crate) fn broadcast(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 3)?;
    let data = args.bytes(1)?;
    let kind = kind(args.bool_or(2, false)?);
    let except = conn_ids(args, 3)?;
    match current(args)?.server.broadcast(kind, data, &except) {
        Ok(count) => result.int(count as i64),
        Err(SendError::Stopped) => result.int(0),
        Err(error) => return Err(message_failure(args, 1, error)),
    }
    Ok(())
}

/// `ws_close(int $conn, int $code = 1000, string $reason = ''): bool`
pub(crate) fn close(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 3)?;
    let conn = args.int(1)?;
    let code = args.int_or(2, 1000)?;
    let reason = text(3, args.bytes_or(3, b"")?)?;
    if reason.len() > MAX_REASON_BYTES {
        let text = format!("must be at most {MAX_REASON_BYTES} bytes long, {} given", reason.len());
        return Err(Failure::Value(3, text));
    }
    // What is no number of 16 bits is as wrong as 0.
    let code_or_0 = u16::try_from(code).unwrap_or(0);
    match current(args)?.server.close(conn_id(conn), code_or_0, reason) {
        Ok(()) => result.bool(true),
        Err(SendError::BadClose(_)) => {
            let text = format!("must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, {code} given");
            return Err(Failure::Value(2, text));
        }
        Err(error @ (SendError::NoServer | SendError::NoWay { .. })) => {
            return Err(message_failure(args, 1, error));
        }
        Err(_) => result.bool(false),
    }
    Ok(())
}

/// `ws_is_open(int $conn): bool`
pub(crate) fn is_open(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(1, 1)?;
    let conn = args.int(1)?;
    result.bool(current(args)?.server.is_open(conn_id(conn)));
    Ok(())
}

/// `ws_connections(): array`
pub(crate) fn connections(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 0)?;
    let connections = own(args)?.server.connections();
    let mut list = List::new(connections.len(), result);
    for conn in connections {
        list.push(|slot| slot.int(conn.as_u64() as i64));
    }
    Ok(())
}

/// `ws_event_stream()`, a stream that is readable while events wait.
///
/// It is over an epoll descriptor that watches the engine's, not over a duplicate of that: reading from a
/// duplicate would take the wake-up away from the poll, while an epoll descriptor can be selected but not read.
pub(crate) fn event_stream(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 0)?;
    let failed = |error: io::Error| {
        Failure::Exception(format!("cannot make an event stream: {error}"), error.raw_os_error().unwrap_or(0))
    };
    let fd = watch_readable(own(args)?.server.event_fd()).map_err(failed)?;
    if zend::stream(fd, result) {
        Ok(())
    } else {
        Err(Failure::Exception("cannot make an event stream".into(), 0))
    }
}

/// `ws_stats(): array`
pub(crate) fn stats(args: &Args, result: Slot<'_>) -> Outcome {
    args.count(0, 0)?;
    let stats = own(args)?.server.stats();
    let entries = stats.entries();
    zend::map(entries.into_iter().map(|(name, value)| (name, Entry::Int(value as i64))), result);
    Ok(())
}

/// `ws_tls_reload(): void`
pub(crate) fn tls_reload(args: &Args, _result: Slot<'_>) -> Outcome {
    args.count(0, 0)?;
    Ok(own(args)?.server.tls_reload()?)
}

/// `ws_server_stop(?float $drain = null): void`
pub(crate) fn stop(args: &Args, _result: Slot<'_>) -> Outcome {
    args.count(0, 1)?;
    let drain = match args.float_or_null(1)? {
        None => None,
        Some(drain) => Some(timeout(1, drain)?.unwrap_or(LONGEST)),
    };
    own(args)?.stop(GOING_AWAY, drain);
    Ok(())
}

/// The script has ended: nothing of its server goes on.
pub(crate) fn end_of_script() {
    // SAFETY: null or a live server of this thread; nobody else refers to it between two functions.
    if let Some(running) = unsafe { CURRENT.get().as_ref() }
        && !running.server.is_in_child()
    {
        let code = if zend::exit_status() == 255 { INTERNAL_ERROR } else { GOING_AWAY };
        running.stop(code, Some(DRAIN_AT_END));
        wait_until_stopped(DRAIN_AT_END + GRACE);
    }
    release();
}

/// What is going on, as rows of a table.
pub(crate) fn state() -> Vec<(&'static str, String)> {
    // SAFETY: as in `end_of_script`.
    let Some(running) = (unsafe { CURRENT.get().as_ref() }) else { return vec![("Server", "none".into())] };
    if running.server.is_in_child() {
        return vec![("Server", format!("in the parent process {}", running.server.process()))];
    }
    let state = if running.stopping.get() {
        "stopping or stopped".into()
    } else {
        running.server.addresses().join(", ")
    };
    let mut rows = vec![("Server", state)];
    rows.extend(running.server.stats().entries().into_iter().map(|(name, value)| (name, value.to_string())));
    rows
}

impl Running {
    /// Begins to stop it and gives the signals back. A later call may shorten the drain.
    fn stop(&self, code: u16, drain: Option<Duration>) {
        if let Some(watch) = self.watch.take() {
            watch.end();
        }
        self.stopping.set(true);
        self.server.stop_with(code, drain);
    }
}

/// Waits for a server that is stopping, if there is one. It does not poll: a fatal error within a poll has left
/// that right taken.
fn wait_until_stopped(longest: Duration) {
    // SAFETY: as in `end_of_script`.
    let Some(running) = (unsafe { CURRENT.get().as_ref() }) else { return };
    if running.server.is_in_child() {
        return;
    }
    let begin = Instant::now();
    while !running.server.is_stopped() && begin.elapsed() < longest {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The server of this thread or of its parent process, for the time of a call.
#[inline]
pub(crate) fn current(args: &Args) -> Result<&Running, Failure> {
    // SAFETY: null or a live server. It is freed only by `start` and after the script, and neither runs within
    // another call: no function calls the script back once its arguments are read.
    match unsafe { CURRENT.get().as_ref() } {
        Some(running) => Ok(running),
        None => Err(no_server(&args.function())),
    }
}

/// The server of this process: what a forked child cannot have done by its parent asks for it by this.
pub(crate) fn own(args: &Args) -> Result<&Running, Failure> {
    let running = current(args)?;
    if running.server.is_in_child() { Err(fork::not_in_child(args, &running.server)) } else { Ok(running) }
}

#[cold]
fn no_server(function: &str) -> Failure {
    let text = format!("{function}(): no server has been started; call ws_server_start() first");
    Failure::Exception(text, 0)
}

fn poller(args: &Args) -> Result<Poller<'_>, Failure> {
    let busy = || Failure::Exception(format!("{}(): another thread is polling", args.function()), 0);
    own(args)?.server.poller().ok_or_else(busy)
}

/// Waits until there are events, or there is nothing more to wait for.
fn wait(poller: &mut Poller<'_>, timeout: Option<Duration>) {
    let _: Wait = poller.wait(timeout, zend::interrupt_pending);
    if signal::received() {
        signal::wait_for_death();
    }
}

/// Frees the server of this thread, which stops it at once if it runs. In a forked child it only forgets it.
fn release() {
    let running = CURRENT.replace(ptr::null()).cast_mut();
    // SAFETY: null or a live server, and nobody else has it.
    if unsafe { running.as_ref() }.is_some_and(|running| !running.server.is_in_child()) {
        OWNER.store(0, Ordering::Release);
        // SAFETY: from `Box::into_raw`.
        drop(unsafe { Box::from_raw(running) });
    }
}

/// Other interfaces than these end or share the process as they please, so a server cannot live in it.
pub(crate) fn may_run_here() -> bool {
    ["cli", "phpdbg", "embed"].contains(&zend::sapi_name().as_str())
}

fn refuse_other_interfaces() -> Outcome {
    if may_run_here() {
        return Ok(());
    }
    let sapi = zend::sapi_name();
    Err(Failure::Exception(
        format!(
            "ws_server_start() needs a process that lives as long as its connections, and PHP runs as \"{sapi}\" here; \
             run the server in a script of its own on the command line (php server.php) and connect to it from here"
        ),
        0,
    ))
}

fn refuse_second_server() -> Outcome {
    // SAFETY: as in `end_of_script`.
    let addresses = match unsafe { CURRENT.get().as_ref() } {
        Some(running) if running.stopping.get() || running.server.is_in_child() => return Ok(()),
        Some(running) => format!(" on {}", running.server.addresses().join(", ")),
        None if OWNER.load(Ordering::Acquire) != process_id() => return Ok(()),
        None => String::new(),
    };
    Err(Failure::Exception(
        format!(
            "ws_server_start(): a server is running in this process already{addresses}; give it several addresses in \
             the option \"listen\", or stop it by ws_server_stop() first"
        ),
        0,
    ))
}

pub(crate) fn process_id() -> i32 {
    std::process::id() as i32
}

#[inline]
pub(crate) fn conn_id(conn: i64) -> ConnId {
    // A negative number is above 2^63, and 0 is no id either.
    ConnId::from_u64(conn as u64)
}

/// A list of connections, none if it is not given.
pub(crate) fn conn_ids(args: &Args, number: u32) -> Result<Vec<ConnId>, Failure> {
    let list = args.array(number)?.into_iter().flatten();
    list.map(|(key, value)| {
        let value = value.dereference();
        value.long().map(conn_id).ok_or_else(|| {
            let kind = options::type_name(value);
            let text = format!("must be a list of connection ids (int), {kind} given at key {key}");
            Failure::Type(number, text)
        })
    })
    .collect()
}

#[inline]
pub(crate) fn kind(binary: bool) -> Kind {
    if binary { Kind::Binary } else { Kind::Text }
}

/// Seconds as a duration; None, which is for ever, for negative ones.
fn timeout(argument: u32, seconds: f64) -> Result<Option<Duration>, Failure> {
    if seconds.is_nan() {
        return Err(Failure::Value(argument, "must be a number of seconds, NAN given".into()));
    }
    if seconds < 0.0 {
        return Ok(None);
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |timeout| timeout.min(LONGEST))))
}

/// A message that no connection could be sent, or a topic that is none.
#[cold]
pub(crate) fn message_failure(args: &Args, argument: u32, error: SendError) -> Failure {
    match error {
        SendError::NotUtf8 => {
            let text = "must be valid UTF-8 for a text message, pass binary: true to send bytes";
            Failure::Value(argument, text.into())
        }
        SendError::TooBig { len, max } => Failure::Value(
            argument,
            format!(
                "must be at most {max} bytes long, which the option \"send_queue_bytes\" says, {len} given"
            ),
        ),
        SendError::TextOnly => Failure::Value(
            argument,
            "must be a text message, the connection speaks draft-76, which has no binary ones".into(),
        ),
        SendError::BadTopic { len, max } => {
            Failure::Value(argument, format!("must be 1 to {max} bytes long, {len} given"))
        }
        SendError::NoHistory => Failure::Value(
            argument,
            "must be null: the option \"history\" does not name this topic or what its name begins with"
                .into(),
        ),
        SendError::NoPresence => Failure::Value(
            argument,
            "must be one that the option \"presence\" names, or what its name begins with".into(),
        ),
        SendError::BadLabel { len, max } => {
            Failure::Value(argument, format!("must be at most {max} bytes long, {len} given"))
        }
        SendError::NoServer => fork::no_server(args),
        other => Failure::Exception(other.to_string(), 0),
    }
}

/// An epoll descriptor that is readable while `fd` is.
fn watch_readable(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: results are checked; the new descriptor is nobody else's; the event lives through the call.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        let epoll = OwnedFd::from_raw_fd(epoll);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let epoll_fd = epoll.as_raw_fd();
        if libc::epoll_ctl(epoll_fd, libc::EPOLL_CTL_ADD, fd, &mut event) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(epoll)
    }
}
