//! A host that does not poll: the engine stops reading messages, keeps all else going, and loses nothing.

mod common;

use common::{Raw, Seen, connect, eventually, frame, handshake, poll, poll_open, start};
use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use wsengine::{ConnId, EventBody, Kind, Server, Wait};

/// A message with its number as text.
fn message(number: usize) -> Vec<u8> {
    frame(0x81, number.to_string().as_bytes())
}

/// Clients whose open events have been taken.
fn open(server: &Server, count: usize) -> Vec<Raw> {
    let raws = (0..count).map(|_| {
        let raw = Raw::open(server);
        poll_open(server);
        raw
    });
    raws.collect()
}

/// Waits until the engine reads no more: the count of pending events stands still at its cap.
fn wait_until_full(server: &Server) {
    eventually("the inbox is full", || server.stats().read_pauses > 0);
}

/// Takes messages until `count` have come, each connection's in order.
fn take_all(server: &Server, count: usize) -> HashMap<ConnId, usize> {
    let mut next = HashMap::<ConnId, usize>::new();
    for _ in 0..count {
        loop {
            match poll(server) {
                Seen::Message { conn, data, .. } => {
                    let expected = next.entry(conn).or_default();
                    assert_eq!(&*data, expected.to_string().as_bytes());
                    *expected += 1;
                    break;
                }
                Seen::Open { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    next
}

#[test]
fn the_inbox_is_capped_by_events_and_nothing_is_lost() {
    let server = start(&[("event_queue_events", "100"), ("io_threads", "1")]);
    const COUNT: usize = 20_000;
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    let mut reader = Raw(raw.0.try_clone().unwrap());
    let writer = thread::spawn(move || (0..COUNT).for_each(|i| raw.send(&message(i))));
    wait_until_full(&server);
    assert!(server.stats().events_pending <= 100, "{}", server.stats().events_pending);
    assert_eq!(take_all(&server, COUNT), HashMap::from([(conn, COUNT)]));
    writer.join().unwrap();
    server.close(conn, 1000, "").unwrap();
    assert_eq!(reader.read_frame().0, 0x88);
}

/// All had begun while there was room, and then came at once.
#[test]
fn messages_in_pieces_find_no_more_room_than_others() {
    let server = start(&[("event_queue_events", "16"), ("io_threads", "1")]);
    const CLIENTS: usize = 40;
    let mut raws = open(&server, CLIENTS);
    let bytes = message(0);
    let (beginning, end) = bytes.split_at(bytes.len() - 1);
    for raw in &mut raws {
        raw.send(&[&frame(0x89, b"")[..], beginning].concat());
        assert_eq!(raw.read_frame().0, 0x8a, "it was read with what came behind it");
    }
    raws.iter_mut().for_each(|raw| raw.send(end));
    // All but those for whom there is room wait.
    eventually("the others wait", || server.stats().read_pauses >= CLIENTS as u64 - 8);
    assert!(server.stats().messages_in <= 8, "{}", server.stats().messages_in);
    assert_eq!(take_all(&server, CLIENTS).len(), CLIENTS);
}

#[test]
fn the_inbox_is_capped_by_bytes_too() {
    let server =
        start(&[("event_queue_bytes", "4000000"), ("max_message_bytes", "1048576"), ("io_threads", "1")]);
    const CLIENTS: usize = 8;
    const EACH: usize = 6;
    let payload = vec![7; 1 << 20];
    let raws = open(&server, CLIENTS);
    let writers: Vec<_> = raws
        .into_iter()
        .map(|mut raw| {
            let bytes = frame(0x82, &payload);
            thread::spawn(move || {
                (0..EACH).for_each(|_| raw.send(&bytes));
                raw
            })
        })
        .collect();
    wait_until_full(&server);
    // Half of the cap for the batch that fills.
    let most = 2;
    assert!(server.stats().messages_in <= most, "{}", server.stats().messages_in);
    let mut taken = 0;
    while taken < CLIENTS * EACH {
        match poll(&server) {
            Seen::Message { data, .. } => {
                assert!(*data == payload);
                taken += 1;
            }
            other => panic!("{other:?}"),
        }
        assert!(server.stats().messages_in <= taken as u64 + 2 * most);
    }
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn while_the_host_sleeps_others_are_served() {
    let server = start(&[("event_queue_events", "64"), ("io_threads", "1"), ("ping_interval_ms", "0")]);
    let mut flooder = Raw::open(&server);
    let flooded = poll_open(&server);
    let mut quiet = Raw::open(&server);
    poll_open(&server);
    for i in 0..5_000 {
        flooder.send(&message(i));
    }
    wait_until_full(&server);
    let pauses = server.stats().read_pauses;
    // A ping of another client is answered, a handshake completes, a message goes out, a refusal too.
    quiet.send(&frame(0x89, b"are you there"));
    assert_eq!(quiet.read_frame(), (0x8a, b"are you there".to_vec()));
    let mut fresh = connect(&server);
    fresh.send(Message::Ping("new".into())).unwrap();
    assert_eq!(fresh.read().unwrap(), Message::Pong("new".into()));
    server.send(flooded, Kind::Text, b"to you").unwrap();
    assert_eq!(flooder.read_frame(), (0x81, b"to you".to_vec()));
    let mut wrong = Raw::connect(&server);
    wrong.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(wrong.read_text().starts_with("HTTP/1.1 426 "));
    assert!(server.stats().read_pauses >= pauses);
    let taken = take_all(&server, 5_000);
    assert_eq!(taken[&flooded], 5_000);
}

#[test]
fn a_peer_that_is_kept_waiting_is_not_found_dead_or_idle() {
    let server = start(&[
        ("event_queue_events", "16"),
        ("ping_interval_ms", "50"),
        ("pong_timeout_ms", "50"),
        ("idle_timeout_ms", "150"),
        ("io_threads", "1"),
    ]);
    // All at once: it has said all before a ping of it can be late.
    let mut raw = Raw::connect(&server);
    let mut words = handshake("/").into_bytes();
    (0..1_000).for_each(|i| words.extend(message(i)));
    raw.send(&words);
    raw.read_head();
    let conn = poll_open(&server);
    wait_until_full(&server);
    // Twice the time of a ping and a pong, and more than the time to be idle: the host sleeps through all of it.
    thread::sleep(Duration::from_millis(500));
    assert!(server.is_open(conn));
    assert_eq!(take_all(&server, 1_000), HashMap::from([(conn, 1_000)]));
}

#[test]
fn a_flooder_does_not_keep_others_out_of_a_full_inbox() {
    let server = Arc::new(start(&[("event_queue_events", "64"), ("io_threads", "1")]));
    let stop = Arc::new(AtomicBool::new(false));
    let mut quiet = Raw::open(&server);
    poll_open(&server);
    let mut flooders = Vec::new();
    for mut raw in open(&server, 3) {
        let stop = stop.clone();
        flooders.push(thread::spawn(move || {
            let many: Vec<u8> = (0..1_000).flat_map(|_| frame(0x81, b"flood")).collect();
            // At the end the server is gone.
            while !stop.load(Ordering::SeqCst) && raw.0.write_all(&many).is_ok() {}
        }));
    }
    wait_until_full(&server);
    for round in 0..20 {
        quiet.send(&frame(0x81, format!("{round}").as_bytes()));
        let mut batches = 0;
        let mut arrived = false;
        while !arrived {
            // So slow that all who wait have had their turn, and nobody gets in because the host was quick.
            thread::sleep(Duration::from_millis(1));
            let mut poller = server.poller().unwrap();
            assert_eq!(poller.wait(Some(common::PATIENCE), || false), Wait::Events);
            batches += 1;
            assert!(batches < 1_000, "the quiet client is kept out");
            while let Some(event) = poller.next() {
                match event.body {
                    EventBody::Message { data: b"flood", .. } => {}
                    EventBody::Message { data, .. } => {
                        assert_eq!(data, format!("{round}").as_bytes());
                        arrived = true;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    stop.store(true, Ordering::SeqCst);
    // The flooders may be stuck in a write.
    server.connections().iter().for_each(|conn| server.abort(*conn).unwrap_or(()));
    for flooder in flooders {
        let _ = flooder.join();
    }
}

#[test]
fn a_header_in_two_pieces_waits_for_room_as_well() {
    let server = start(&[("event_queue_events", "16"), ("io_threads", "1")]);
    let mut filler = Raw::open(&server);
    poll_open(&server);
    let mut raw = Raw::open(&server);
    let conn = poll_open(&server);
    for i in 0..100 {
        filler.send(&message(i));
    }
    wait_until_full(&server);
    let message = frame(0x82, &[5; 300]);
    let (first, rest) = message.split_at(3);
    raw.send(first);
    // The pong to another connection tells that the thread has been around.
    let mut other = Raw::open(&server);
    other.send(&frame(0x89, b""));
    other.read_frame();
    raw.send(rest);
    loop {
        if let Seen::Message { conn: from, data, .. } = poll(&server)
            && from == conn
        {
            assert_eq!(*data, [5; 300]);
            return;
        }
    }
}

#[test]
fn many_connections_that_wait_get_their_turn() {
    const CLIENTS: usize = 200;
    const EACH: usize = 50;
    let server = start(&[("event_queue_events", "64"), ("io_threads", "2")]);
    let mut raws = open(&server, CLIENTS);
    for i in 0..EACH {
        for raw in &mut raws {
            raw.send(&message(i));
        }
    }
    wait_until_full(&server);
    let taken = take_all(&server, CLIENTS * EACH);
    assert_eq!(taken.len(), CLIENTS);
    assert!(taken.values().all(|count| *count == EACH));
}

#[test]
fn connections_that_come_and_go_do_not_fill_the_inbox_without_end() {
    let server = Arc::new(start(&[("event_queue_events", "64"), ("io_threads", "1")]));
    let stop = Arc::new(AtomicBool::new(false));
    let address = server.addresses()[0].clone();
    let churn = {
        let stop = stop.clone();
        thread::spawn(move || {
            let mut done = 0;
            while !stop.load(Ordering::SeqCst) && done < 5_000 {
                let Ok(mut socket) = TcpStream::connect(&address) else { continue };
                socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                let _ = std::io::Write::write_all(&mut socket, handshake("/").as_bytes());
                let mut head = [0; 12];
                if std::io::Read::read_exact(&mut socket, &mut head).is_err() {
                    // Nobody answers any more: the inbox is full.
                    return done;
                }
                done += 1;
            }
            done
        })
    };
    let done = churn.join().unwrap();
    assert!(done < 100, "{done} connections came and went, and the host polled none of them");
    assert!(server.stats().events_pending < 250, "{}", server.stats().events_pending);
    // When the host polls again all is as before.
    let mut opens: u64 = 0;
    let mut closes: u64 = 0;
    while opens < done || closes < opens {
        match poll(&server) {
            Seen::Open { .. } => opens += 1,
            Seen::Close { .. } => closes += 1,
            other => panic!("{other:?}"),
        }
    }
    Raw::open(&server);
}
