//! When and why a poll returns, and that no event is ever slept over.

mod common;

use common::{PATIENCE, Raw, connect, eventually, frame, poll_open, start};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use wsengine::{EventBody, Kind, Server, Wait};

/// Is the descriptor readable within `time`? By poll(2), as an event loop asks.
fn readable(fd: RawFd, time: Duration) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd that lives through the call.
    unsafe { libc::poll(&mut poll, 1, time.as_millis() as i32) > 0 }
}

fn wait(server: &Server, timeout: Option<Duration>) -> Wait {
    let begin = Instant::now();
    let wait = server.poller().expect("nobody else polls").wait(timeout, || false);
    assert!(begin.elapsed() < PATIENCE, "{wait:?} was due, but nobody was woken");
    wait
}

/// Nothing waits. An I/O thread may say so late that there is something, when the host has it already: then one more poll
/// finds nothing.
fn rests(server: &Server, fd: RawFd) {
    eventually("nothing to wait for", || echo_all(server) == 0 && !readable(fd, Duration::from_millis(50)));
}

/// Takes all that is there, echoes messages, and says how many there were.
fn echo_all(server: &Server) -> usize {
    let mut poller = server.poller().unwrap();
    let mut messages = 0;
    while poller.wait(Some(Duration::ZERO), || false) == Wait::Events {
        while let Some(event) = poller.next() {
            if let (Some(conn), EventBody::Message { kind, data }) = (event.conn, event.body) {
                server.send(conn, kind, data).unwrap();
                messages += 1;
            }
        }
    }
    messages
}

/// Sends one message after the other, each when the one before has come back, after a pause of random length.
fn ping_pong(server: &Server, count: u32) -> thread::JoinHandle<()> {
    let mut raw = Raw::open(server);
    thread::spawn(move || {
        let mut random = 7u32;
        for i in 0..count {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            for _ in 0..random >> 20 {
                std::hint::spin_loop();
            }
            raw.send(&frame(0x82, &i.to_be_bytes()));
            assert_eq!(raw.read_frame(), (0x82, i.to_be_bytes().to_vec()));
        }
    })
}

#[test]
fn a_poll_without_time_returns_at_once_and_one_with_time_waits_as_long() {
    let server = start(&[]);
    assert_eq!(wait(&server, Some(Duration::ZERO)), Wait::Timeout);
    let begin = Instant::now();
    assert_eq!(wait(&server, Some(Duration::from_millis(100))), Wait::Timeout);
    assert!(begin.elapsed() >= Duration::from_millis(100));
    let _client = connect(&server);
    assert_eq!(wait(&server, Some(PATIENCE)), Wait::Events);
    assert_eq!(wait(&server, Some(PATIENCE)), Wait::Events, "what was not taken is still there");
    let mut poller = server.poller().unwrap();
    assert!(matches!(poller.next().unwrap().body, EventBody::Open(_)));
    assert!(poller.next().is_none());
    assert_eq!(poller.wait(Some(Duration::ZERO), || false), Wait::Timeout);
}

#[test]
fn a_wakeup_ends_the_current_poll_or_the_next_one_and_only_one() {
    let server = Arc::new(start(&[]));
    server.wakeup();
    server.wakeup();
    assert_eq!(wait(&server, None), Wait::Woken);
    assert_eq!(wait(&server, Some(Duration::from_millis(20))), Wait::Timeout);
    for _ in 0..200 {
        let waker = {
            let server = server.clone();
            thread::spawn(move || server.wakeup())
        };
        assert_eq!(wait(&server, Some(PATIENCE)), Wait::Woken);
        waker.join().unwrap();
    }
}

#[test]
fn an_interruption_ends_the_poll_and_events_come_first() {
    let server = start(&[]);
    let mut poller = server.poller().unwrap();
    assert_eq!(poller.wait(None, || true), Wait::Interrupted);
    assert_eq!(poller.wait(Some(Duration::ZERO), || true), Wait::Interrupted);
    let _client = connect(&server);
    eventually("an event", || server.stats().events_pending > 0);
    assert_eq!(poller.wait(None, || true), Wait::Events);
}

#[test]
fn one_thread_polls_at_a_time() {
    let server = start(&[]);
    let poller = server.poller().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| assert!(server.poller().is_none())).join().unwrap();
    });
    drop(poller);
    assert!(server.poller().is_some());
}

#[test]
fn asking_for_counters_never_keeps_the_poller_out() {
    let server = Arc::new(start(&[]));
    let over = Arc::new(AtomicBool::new(false));
    let asker = {
        let (server, over) = (server.clone(), over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                server.stats();
            }
        })
    };
    for _ in 0..100_000 {
        assert!(server.poller().is_some());
    }
    over.store(true, Ordering::SeqCst);
    asker.join().unwrap();
}

#[test]
fn events_in_the_hosts_hands_are_pending_until_it_looks_at_them() {
    let server = start(&[]);
    let _clients = [connect(&server), connect(&server)];
    eventually("both events", || server.stats().events_pending == 2);
    poll_open(&server);
    assert_eq!(server.stats().events_pending, 1);
    poll_open(&server);
    assert_eq!(server.stats().events_pending, 0);
}

#[test]
fn a_poller_that_panics_does_not_end_polling() {
    let server = start(&[]);
    let _client = connect(&server);
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let mut poller = server.poller().unwrap();
                poller.wait(Some(PATIENCE), || false);
                std::panic::resume_unwind(Box::new(()));
            })
            .join()
    });
    assert!(panicked.is_err());
    poll_open(&server);
}

#[test]
fn the_descriptor_is_readable_while_events_wait() {
    let server = start(&[]);
    let fd = server.event_fd();
    let mut client = connect(&server);
    assert!(readable(fd, PATIENCE));
    assert!(readable(fd, Duration::ZERO), "looking does not change it");
    poll_open(&server);
    assert_eq!(echo_all(&server), 0);
    rests(&server, fd);

    client.send(Message::text("one")).unwrap();
    client.send(Message::text("two")).unwrap();
    assert!(readable(fd, PATIENCE));
    // One of two taken: still readable.
    eventually("both have come", || server.stats().messages_in == 2);
    let mut poller = server.poller().unwrap();
    assert_eq!(poller.wait(Some(PATIENCE), || false), Wait::Events);
    assert!(poller.next().is_some());
    drop(poller);
    assert!(readable(fd, Duration::ZERO));
    assert_eq!(echo_all(&server), 1);
    rests(&server, fd);

    server.wakeup();
    assert!(readable(fd, Duration::ZERO));
    assert_eq!(wait(&server, Some(Duration::ZERO)), Wait::Woken);
    rests(&server, fd);

    server.stop(Some(Duration::ZERO));
    eventually("the stop", || server.is_stopped());
    assert!(readable(fd, PATIENCE));
    while wait(&server, Some(PATIENCE)) != Wait::Stopped {
        let mut poller = server.poller().unwrap();
        while poller.next().is_some() {}
    }
    assert!(readable(fd, Duration::ZERO), "as a socket at its end: no poll would wait");
}

#[test]
fn no_event_is_slept_over() {
    let server = start(&[("io_threads", "1")]);
    let client = ping_pong(&server, 10_000);
    let mut messages = 0;
    while messages < 10_000 {
        assert_eq!(wait(&server, Some(PATIENCE)), Wait::Events, "after {messages} messages");
        messages += echo_all(&server);
    }
    client.join().unwrap();
}

#[test]
fn no_event_is_slept_over_by_a_loop_on_the_descriptor() {
    let server = start(&[("io_threads", "2")]);
    let fd = server.event_fd();
    let clients = [ping_pong(&server, 5_000), ping_pong(&server, 5_000)];
    let mut messages = 0;
    while messages < 10_000 {
        assert!(readable(fd, PATIENCE), "after {messages} messages");
        messages += echo_all(&server);
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn no_command_is_slept_over() {
    // The I/O thread is idle between the commands, in all states of falling asleep.
    let server = Arc::new(start(&[("io_threads", "1")]));
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let mut random = 3u32;
    for i in 0..10_000u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        for _ in 0..random >> 20 {
            std::hint::spin_loop();
        }
        assert_eq!(server.send(conn, Kind::Binary, &i.to_be_bytes()), Ok(()));
        assert_eq!(raw.read_frame(), (0x82, i.to_be_bytes().to_vec()));
    }
}

#[test]
fn events_that_the_hosts_own_calls_make_wake_the_poller() {
    let server = Arc::new(start(&[]));
    let polling = Arc::new(AtomicBool::new(false));
    for _ in 0..200 {
        let raw = Raw::open(&server);
        let conn = poll_open(&server);
        polling.store(false, Ordering::SeqCst);
        let aborter = {
            let (server, polling) = (server.clone(), polling.clone());
            thread::spawn(move || {
                while !polling.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                server.abort(conn).unwrap();
            })
        };
        polling.store(true, Ordering::SeqCst);
        assert!(matches!(common::poll(&server), common::Seen::Close { code: 1006, .. }));
        aborter.join().unwrap();
        drop(raw);
    }
}
