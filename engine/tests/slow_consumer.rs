//! Clients that read slowly or not at all: what they cost is capped, the host is told, and the others get all.

mod common;

use common::{
    Host, PATIENCE, Raw, Seen, connect, eventually, handshake, poll, poll_open, poll_within, receive, start,
};
use socket2::SockRef;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use wsengine::{ConnId, Kind, SendError, Server};

/// Payload larger than the socket buffers of both sides, in messages of 10,000 bytes.
const LEN: usize = 10_000;

/// A message with its number in front.
fn numbered(number: usize) -> Vec<u8> {
    let mut data = vec![b'.'; LEN];
    data[..8].copy_from_slice(&(number as u64).to_be_bytes());
    data
}

fn number(data: &[u8]) -> usize {
    u64::from_be_bytes(data[..8].try_into().unwrap()) as usize
}

/// Sends until the queue stays full, and says how many were accepted.
fn fill(server: &Server, conn: ConnId, cap: usize) -> usize {
    let (mut accepted, before) = (0, server.stats().messages_out);
    let mut refused_since: Option<Instant> = None;
    loop {
        match server.send(conn, Kind::Binary, &numbered(accepted)) {
            Ok(()) => {
                accepted += 1;
                refused_since = None;
            }
            Err(SendError::QueueFull) => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                // The I/O thread has them all, and the socket takes no more.
                let all_are_there = server.stats().messages_out >= before + accepted as u64;
                if all_are_there && since.elapsed() > Duration::from_millis(300) {
                    return accepted;
                }
                std::thread::yield_now();
            }
            Err(other) => panic!("{other}"),
        }
        assert!(server.buffered(conn).unwrap() <= cap, "more than the cap waits");
        assert!(server.stats().queued_bytes <= cap as u64, "more than the cap is queued");
    }
}

/// There was none at times, for the batch that told of it still counted.
#[test]
fn after_a_refused_send_a_drain_event_tells_that_there_is_room() {
    let server = start(&[("send_queue_messages", "4")]);
    let mut client = connect(&server);
    let conn = poll_open(&server);
    for round in 0..2_000 {
        let mut sent = 0;
        while server.send(conn, Kind::Text, b"x") == Ok(()) {
            sent += 1;
        }
        assert!(sent > 0, "no room in round {round}");
        assert_eq!(poll(&server), Seen::Drain { conn, dropped: 0 });
        for _ in 0..sent {
            receive(&mut client);
        }
    }
}

#[test]
fn a_client_that_never_reads_costs_its_cap_and_loses_nothing_that_was_accepted() {
    const CAP: usize = 200_000;
    let server = start(&[("send_queue_bytes", "200000"), ("io_threads", "1")]);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let accepted = fill(&server, conn, CAP);
    assert!(server.stats().queued_bytes > CAP as u64 / 2);
    assert_eq!(server.buffered(conn).unwrap() as u64, server.stats().queued_bytes);

    for expected in 0..accepted {
        let (first, data) = raw.read_frame();
        assert_eq!((first, number(&data), data.len()), (0x82, expected, LEN));
    }
    assert_eq!(poll(&server), Seen::Drain { conn, dropped: 0 });
    eventually("an empty queue", || server.stats().queued_bytes == 0);
    // There is room again and the order goes on.
    eventually("room", || server.send(conn, Kind::Binary, &numbered(accepted)).is_ok());
    assert_eq!(number(&raw.read_frame().1), accepted);
}

/// It held four, which took it 0.6 ms to free: a hundred that were cut in one go kept others waiting for 6 ms.
#[test]
fn the_system_holds_a_mebibyte_of_what_a_peer_does_not_take() {
    const CAP: usize = 100_000;
    let server = start(&[("send_queue_bytes", "100000"), ("io_threads", "1")]);
    let mut raw = Raw::connect(&server);
    SockRef::from(&raw.0).set_recv_buffer_size(4_096).unwrap();
    raw.send(handshake("/").as_bytes());
    let accepted = fill(&server, poll_open(&server), CAP) * LEN;
    let held = accepted - CAP;
    assert!((900_000..1_500_000).contains(&held), "{held} bytes");
}

#[test]
fn a_queue_is_capped_by_messages_too() {
    let server = start(&[("send_queue_messages", "10"), ("send_queue_bytes", "100000000")]);
    let _raw = Raw::open(&server);
    let conn = poll_open(&server);
    fill(&server, conn, 100_000_000);
    let buffered = server.buffered(conn).unwrap();
    assert!((5 * LEN..=10 * (LEN + 4)).contains(&buffered), "{buffered}");
}

#[test]
fn a_message_larger_than_the_cap_is_an_error_and_one_as_large_passes() {
    let server = start(&[("send_queue_bytes", "1000")]);
    let mut client = connect(&server);
    let conn = poll_open(&server);
    let too_big = Err(SendError::TooBig { len: 1_001, max: 1_000 });
    assert_eq!(server.send(conn, Kind::Binary, &[1; 1_001]), too_big);
    assert_eq!(
        server.broadcast(Kind::Binary, &[1; 1_001], &[]),
        Err(SendError::TooBig { len: 1_001, max: 1_000 })
    );
    for _ in 0..3 {
        assert_eq!(server.send(conn, Kind::Binary, &[1; 1_000]), Ok(()));
        assert_eq!(receive(&mut client), Message::binary(vec![1; 1_000]));
        eventually("an empty queue", || server.buffered(conn) == Ok(0));
    }
}

/// Broadcasts 100 MB to clients that read, in their time, and to one that does not.
fn broadcast_past_a_sleeper(policy: &str, check: impl FnOnce(&Server, ConnId, Raw, usize)) {
    const COUNT: usize = 10_000;
    let server = start(&[
        ("slow_consumer", policy),
        ("send_queue_bytes", "300000"),
        ("close_timeout_ms", "200"),
        ("io_threads", "1"),
    ]);
    let sleeper = Raw::open(&server);
    let asleep = poll_open(&server);
    let received: Arc<[AtomicUsize; 3]> = Arc::default();
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let mut raw = Raw::open(&server);
            poll_open(&server);
            let received = received.clone();
            std::thread::spawn(move || {
                for expected in 0..COUNT {
                    assert_eq!(number(&raw.read_frame().1), expected);
                    received[reader].fetch_add(1, Ordering::SeqCst);
                }
                raw
            })
        })
        .collect();
    for i in 0..COUNT {
        assert!(server.broadcast(Kind::Binary, &numbered(i), &[]).unwrap() >= 3);
        eventually("the readers keep up", || {
            received.iter().all(|received| received.load(Ordering::SeqCst) + 20 > i)
        });
        assert!(server.stats().queued_bytes < 300_000 + 3 * 20 * (LEN as u64 + 4));
    }
    let readers: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    check(&server, asleep, sleeper, COUNT);
    drop(readers);
}

#[test]
fn policy_close_ends_a_slow_connection_and_nobody_else() {
    broadcast_past_a_sleeper("close", |server, asleep, mut sleeper, count| {
        let close = poll(server);
        let (stats, reason) = (server.stats(), "the connection reads too slowly");
        let Seen::Close { conn, code: 1013, reason: said, clean: false } = close else { panic!("{close:?}") };
        assert_eq!((conn, said.as_str()), (asleep, reason));
        assert_eq!((stats.slow_closed, stats.closed), (1, 1));
        assert!(stats.messages_dropped > 0);
        // What had been given to the socket is sound, and then comes the close frame, or the end: within a frame, if the
        // sleeper has slept for longer than the close timeout.
        let bytes = sleeper.read_all();
        let framed = |payload: &[u8]| [&[0x82, 126], &(LEN as u16).to_be_bytes()[..], payload].concat();
        let mut frames = bytes.chunks(LEN + 4).enumerate().peekable();
        let mut whole = 0;
        while let Some((i, frame)) = frames.next_if(|(_, frame)| frame.len() == LEN + 4 && frame[0] == 0x82) {
            assert!(frame == framed(&numbered(i)), "message {i}");
            whole += 1;
        }
        assert!(whole > 0 && whole < count);
        let rest = &bytes[whole * (LEN + 4)..];
        let close = [&1013u16.to_be_bytes()[..], reason.as_bytes()].concat();
        match rest.first() {
            Some(0x88) => assert_eq!(rest[2..], close),
            _ => assert!(framed(&numbered(whole)).starts_with(rest)),
        }
    });
}

/// What a sleeper gets when it wakes up: always in order, with gaps.
fn read_numbers(server: &Server, sleeper: &mut Raw, conn: ConnId, count: usize) -> (Vec<usize>, u64) {
    let begin = Instant::now();
    let (mut numbers, mut dropped) = (Vec::new(), 0);
    while numbers.len() as u64 + dropped < count as u64 {
        assert!(begin.elapsed() < PATIENCE, "{} came, {dropped} were left out", numbers.len());
        sleeper.0.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        if sleeper.0.peek(&mut [0]).is_ok_and(|read| read == 1) {
            sleeper.0.set_read_timeout(Some(PATIENCE)).unwrap();
            numbers.push(number(&sleeper.read_frame().1));
            continue;
        }
        match poll_within(server, Duration::ZERO) {
            None => {}
            Some(Seen::Drain { conn: drained, dropped: more }) if drained == conn => dropped += more,
            Some(other) => panic!("{other:?}"),
        }
    }
    sleeper.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    (numbers, dropped)
}

#[test]
fn policy_drop_newest_leaves_out_the_newest_and_says_how_many() {
    broadcast_past_a_sleeper("drop_newest", |server, asleep, mut sleeper, count| {
        let (numbers, dropped) = read_numbers(server, &mut sleeper, asleep, count);
        assert!(dropped > 0 && !numbers.contains(&(count - 1)));
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
        assert_eq!(numbers.len() as u64 + dropped, count as u64);
        assert_eq!(server.stats().messages_dropped, dropped);
        assert_eq!(server.send(asleep, Kind::Binary, &numbered(count)), Ok(()));
        assert_eq!(number(&sleeper.read_frame().1), count);
    });
}

#[test]
fn policy_drop_oldest_leaves_out_the_oldest_and_says_how_many() {
    broadcast_past_a_sleeper("drop_oldest", |server, asleep, mut sleeper, count| {
        let (numbers, dropped) = read_numbers(server, &mut sleeper, asleep, count);
        assert!(dropped > 0 && numbers.contains(&(count - 1)));
        assert_eq!(numbers.len() as u64 + dropped, count as u64);
        assert_eq!(server.stats().messages_dropped, dropped);
    });
}

#[test]
fn a_peer_that_takes_nothing_for_too_long_is_cut() {
    let server = start(&[("write_stall_ms", "200"), ("send_queue_bytes", "100000"), ("io_threads", "1")]);
    let _raw = Raw::open(&server);
    let conn = poll_open(&server);
    let begin = Instant::now();
    // The last bytes that the socket took may have been taken late.
    while server.send(conn, Kind::Binary, &numbered(0)) != Err(SendError::Gone) {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    assert!(begin.elapsed() >= Duration::from_millis(200));
    let close = loop {
        match poll(&server) {
            // The socket may have taken more, late.
            Seen::Drain { .. } => {}
            other => break other,
        }
    };
    let expected = "the connection takes nothing".to_owned();
    assert_eq!(close, Seen::Close { conn, code: 1013, reason: expected, clean: false });
    assert_eq!(server.stats().slow_closed, 1);
    eventually("nothing is queued", || server.stats().queued_bytes == 0);
}

#[test]
fn all_queues_together_have_a_cap() {
    let server = start(&[
        ("total_queue_bytes", "400000"),
        ("send_queue_bytes", "300000"),
        ("slow_consumer", "drop_newest"),
        ("io_threads", "1"),
    ]);
    let sleepers: Vec<_> = (0..5).map(|_| Raw::open(&server)).collect();
    let mut max = 0;
    for i in 0..1_500 {
        server.broadcast(Kind::Binary, &numbered(i), &[]).unwrap();
        max = max.max(server.stats().queued_bytes);
    }
    eventually("something is dropped", || server.stats().messages_dropped > 0);
    // What is queued is counted when a batch has been given out, what is dropped within it.
    eventually("the queues are full", || {
        max = max.max(server.stats().queued_bytes);
        max > 200_000
    });
    // A message of which the socket has taken a part cannot be left out.
    assert!(max <= 400_000 + 5 * (LEN as u64 + 4), "{max}");
    drop(sleepers);
    eventually("nothing is queued", || server.stats().queued_bytes == 0);
}

/// Fills the queue of one connection, then broadcasts to it and to one with a small queue until all is too much.
fn the_largest_goes_first(policy: &str, io_threads: &str) -> (Server, [Raw; 2], [ConnId; 2]) {
    let server = start(&[
        ("total_queue_bytes", "1000000"),
        ("send_queue_bytes", "900000"),
        ("slow_consumer", policy),
        ("io_threads", io_threads),
    ]);
    let [(large, first), (small, second)] = [(), ()].map(|()| (Raw::open(&server), poll_open(&server)));
    let (mut raws, conns) = ([large, small], [first, second]);
    fill(&server, conns[0], 900_000);
    let small = fill_to(&server, conns[1], 50_000);
    assert_eq!(server.stats().messages_dropped, 0);
    let all = small + 150_000 / LEN;
    for i in small..all {
        server.send(conns[1], Kind::Binary, &numbered(i)).unwrap();
    }
    eventually("the largest gives way", || server.stats().messages_dropped > 0);
    for i in 0..all {
        assert_eq!(number(&raws[1].read_frame().1), i);
    }
    (server, raws, conns)
}

/// Sends until so many bytes wait.
fn fill_to(server: &Server, conn: ConnId, bytes: usize) -> usize {
    let (mut accepted, before) = (0, server.stats().messages_out);
    while server.buffered(conn).unwrap() < bytes {
        server.send(conn, Kind::Binary, &numbered(accepted)).unwrap();
        accepted += 1;
        eventually("the I/O thread has it", || server.stats().messages_out >= before + accepted as u64);
    }
    accepted
}

#[test]
fn with_too_much_in_all_queues_the_largest_is_closed_first() {
    for io_threads in ["1", "2"] {
        let (server, _raws, conns) = the_largest_goes_first("close", io_threads);
        eventually("the end of the largest", || !server.is_open(conns[0]));
        assert!(server.is_open(conns[1]));
        assert_eq!(server.stats().slow_closed, 1);
    }
}

#[test]
fn with_too_much_in_all_queues_the_largest_is_emptied_first() {
    for io_threads in ["1", "2"] {
        let (server, _raws, conns) = the_largest_goes_first("drop_oldest", io_threads);
        assert!(server.is_open(conns[0]) && server.is_open(conns[1]));
        assert!(server.buffered(conns[0]).unwrap() < 100_000);
        assert_eq!(server.stats().slow_closed, 0);
    }
}

#[test]
fn bytes_of_many_slow_clients_are_accounted_to_the_last() {
    let server =
        start(&[("send_queue_bytes", "50000"), ("slow_consumer", "drop_oldest"), ("io_threads", "2")]);
    for round in 0..5 {
        let mut raws: Vec<_> = (0..8).map(|_| Raw::open(&server)).collect();
        for i in 0..600 {
            server.broadcast(Kind::Binary, &numbered(i), &[]).unwrap();
        }
        for (i, raw) in raws.iter_mut().enumerate() {
            if i % 2 == 0 {
                raw.read_exact(50_000 * (i + 1));
            }
            if (i + round) % 3 == 0 {
                let _ = raw.0.shutdown(std::net::Shutdown::Write);
            }
        }
        drop(raws);
        eventually("nothing is open or queued", || {
            let stats = server.stats();
            stats.connections == 0 && stats.queued_bytes == 0
        });
    }
}

#[test]
fn a_stream_that_is_read_is_never_refused_below_its_cap() {
    // At most 60 messages are on their way at any time. The queue forgets those of a batch when the thread is done
    // with it, a little after the peer has them, so it may count two windows.
    let host = Arc::new(Host::run(&[("send_queue_messages", "128"), ("io_threads", "1")], |_, _| {}));
    let mut raw = Raw::open(&host.server);
    let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
    let (read, window) = std::sync::mpsc::sync_channel(60);
    let reader = std::thread::spawn(move || {
        for expected in 0..20_000u64 {
            let (_, data) = raw.read_frame();
            assert_eq!(data, expected.to_be_bytes());
            window.recv().unwrap();
        }
    });
    for i in 0..20_000u64 {
        read.send(()).unwrap();
        assert_eq!(host.server.send(conn, Kind::Binary, &i.to_be_bytes()), Ok(()), "message {i}");
    }
    reader.join().unwrap();
}

#[test]
fn a_slow_reader_gets_all_in_the_end() {
    let host = Host::echo(&[("send_queue_bytes", "4194304")]);
    let mut raw = Raw::open(&host.server);
    let payload: Vec<u8> = (0..1_000_000).map(|i| (i % 253) as u8).collect();
    for _ in 0..3 {
        raw.send(&common::frame(0x82, &payload));
    }
    for _ in 0..3 {
        let mut got = raw.read_exact(10);
        got.clear();
        while got.len() < payload.len() {
            let mut piece = vec![0; 70_001.min(payload.len() - got.len())];
            let read = raw.0.read(&mut piece).unwrap();
            got.extend(&piece[..read]);
        }
        assert!(got == payload);
    }
}

/// The largest itself is refused something first, and stays the largest all the same.
#[test]
fn one_that_was_refused_is_remembered_as_the_largest() {
    let server = start(&[
        ("total_queue_bytes", "1000000"),
        ("send_queue_bytes", "5000000"),
        ("slow_consumer", "drop_newest"),
        ("io_threads", "2"),
    ]);
    let [(_large, first), (mut small, second)] = [(), ()].map(|()| (Raw::open(&server), poll_open(&server)));
    let mut sent = 0;
    while server.stats().messages_dropped == 0 {
        server.send(first, Kind::Binary, &numbered(sent)).unwrap();
        sent += 1;
        let done = || server.stats().messages_out + server.stats().messages_dropped;
        eventually("the I/O thread has it", || done() >= sent as u64);
    }
    for i in 0..150_000 / LEN {
        server.send(second, Kind::Binary, &numbered(i)).unwrap();
    }
    for i in 0..150_000 / LEN {
        assert_eq!(number(&small.read_frame().1), i);
    }
}
