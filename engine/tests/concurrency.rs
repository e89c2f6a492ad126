//! Many threads call at once while clients come and go: each message that was accepted for a client that stays
//! arrives once, and those of one thread in their order.

mod common;

use common::{Host, Raw, Seen, eventually, frame, try_connect};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use wsengine::{ConnId, Kind, SendError};

const THREADS: usize = 8;
const STAYERS: usize = 4;
const EACH: u32 = 2_000;
/// One message for many, and one for a topic, to so many single messages.
const MANY_EVERY: u32 = 10;

/// Ways to send: to one, to all, to a topic.
const ONE: u8 = 0;
const ALL: u8 = 1;
const TOPIC: u8 = 2;

/// A message: which thread sent it, which way, and its number among those.
fn payload(thread: usize, way: u8, number: u32) -> Vec<u8> {
    let mut payload = vec![thread as u8, way];
    payload.extend(number.to_be_bytes());
    payload.resize(6 + number as usize % 300, b'.');
    payload
}

/// Reads until the end and gives back how many came of each thread's, in order, each way.
fn read_all(mut raw: Raw) -> HashMap<(usize, u8), u32> {
    let mut next = HashMap::<(usize, u8), u32>::new();
    loop {
        let (first, data) = raw.read_frame();
        match first {
            0x82 => {
                let number = u32::from_be_bytes(data[2..6].try_into().unwrap());
                let expected = next.entry((data[0].into(), data[1])).or_default();
                assert_eq!(number, *expected, "of thread {}", data[0]);
                assert_eq!(data.len(), payload(data[0].into(), data[1], number).len());
                *expected += 1;
            }
            0x88 => {
                raw.send(&frame(0x88, &data));
                return next;
            }
            0x89 => raw.send(&frame(0x8a, &data)),
            other => panic!("{other:x}"),
        }
    }
}

fn storm(io_threads: &str) {
    let closes = Arc::new(Mutex::new(HashMap::<ConnId, u32>::new()));
    let recorded = closes.clone();
    let options = [
        ("io_threads", io_threads),
        ("send_queue_bytes", "1000000000"),
        ("send_queue_messages", "1000000"),
        ("max_control_frames_per_s", "0"),
        ("close_timeout_ms", "500"),
    ];
    let host = Host::run(&options, move |_, event| match event {
        Seen::Open { conn, .. } => assert!(recorded.lock().unwrap().insert(*conn, 0).is_none()),
        Seen::Close { conn, .. } => *recorded.lock().unwrap().get_mut(conn).unwrap() += 1,
        Seen::Message { conn, .. } => assert_eq!(recorded.lock().unwrap().get(conn), Some(&0)),
        _ => {}
    });
    let server = &*host.server;
    let mut stayers = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..STAYERS {
        let raw = Raw::open(server);
        let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
        assert_eq!(server.subscribe(conn, "stayers"), Ok(true));
        stayers.push(conn);
        readers.push(thread::spawn(|| read_all(raw)));
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let churners: Vec<_> = (0..3)
            .map(|churner| {
                let over = &over;
                scope.spawn(move || {
                    let mut round = 0;
                    while !over.load(Ordering::SeqCst) {
                        round += 1;
                        let mut client = try_connect(server, "/").unwrap();
                        // The last one may wait for something that nobody sends any more.
                        client.get_mut().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                        let _ = client.send(Message::text("in passing"));
                        match (churner + round) % 3 {
                            0 => drop(client),
                            1 => drop(client.close(None)),
                            _ => drop(client.read()),
                        }
                    }
                    round
                })
            })
            .collect();
        let stayers = &stayers;
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    for number in 0..EACH {
                        for conn in stayers {
                            assert_eq!(
                                server.send(*conn, Kind::Binary, &payload(thread, ONE, number)),
                                Ok(())
                            );
                        }
                        if number % MANY_EVERY == 0 {
                            let [to_all, to_topic] =
                                [ALL, TOPIC].map(|way| payload(thread, way, number / MANY_EVERY));
                            assert!(server.broadcast(Kind::Binary, &to_all, &[]).unwrap() >= STAYERS);
                            let reached = server.publish(Kind::Binary, "stayers", &to_topic, &[]);
                            assert!(reached.unwrap() >= STAYERS);
                        }
                        // One of those that come and go is sent to, closed, cut, or comes to the topic.
                        if number % 7 == 0
                            && let Some(conn) =
                                server.connections().into_iter().find(|conn| !stayers.contains(conn))
                        {
                            let result = match number % 4 {
                                0 => server.close(conn, 1000, "go"),
                                1 => server.abort(conn),
                                2 => server.subscribe(conn, "stayers").map(|_| ()),
                                _ => server.send(conn, Kind::Text, b"hello"),
                            };
                            assert!(matches!(result, Ok(()) | Err(SendError::Gone)), "{result:?}");
                        }
                        assert!(server.is_open(stayers[0]));
                        let _ = server.stats();
                    }
                })
            })
            .collect();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        over.store(true, Ordering::SeqCst);
        let rounds: usize = churners.into_iter().map(|churner| churner.join().unwrap()).sum();
        assert!(rounds >= 3);
    });
    for conn in &stayers {
        server.close(*conn, 1000, "").unwrap();
    }
    for reader in readers {
        let received = reader.join().unwrap();
        for thread in 0..THREADS {
            assert_eq!(received[&(thread, ONE)], EACH);
            assert_eq!(received[&(thread, ALL)], EACH / MANY_EVERY);
            assert_eq!(received[&(thread, TOPIC)], EACH / MANY_EVERY);
        }
    }
    eventually("each open has its close", || {
        let stats = server.stats();
        stats.connections == 0 && closes.lock().unwrap().values().all(|closes| *closes == 1)
    });
    let stats = server.stats();
    assert_eq!(stats.opened as usize, closes.lock().unwrap().len());
    assert_eq!((stats.closed, stats.queued_bytes, stats.subscriptions), (stats.opened, 0, 0));
}

#[test]
fn eight_threads_on_one_io_thread() {
    storm("1");
}

#[test]
fn eight_threads_on_three_io_threads() {
    storm("3");
}

#[test]
fn sends_race_with_the_stop() {
    // Each message that was accepted before the stop arrives; after it none is accepted.
    for round in 0..10 {
        let host = Host::run(&[("io_threads", "2"), ("send_queue_messages", "1000000")], |_, _| {});
        let server = &*host.server;
        let raw = Raw::open(server);
        let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
        let reader = thread::spawn(|| read_all(raw));
        let accepted = thread::scope(|scope| {
            let senders: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut number = 0;
                        while server.send(conn, Kind::Binary, &payload(thread, ONE, number)) == Ok(()) {
                            number += 1;
                        }
                        number
                    })
                })
                .collect();
            eventually("some are on their way", || server.stats().messages_out > 100 * round);
            server.stop(None);
            senders.into_iter().map(|sender| sender.join().unwrap()).collect::<Vec<u32>>()
        });
        let received = reader.join().unwrap();
        for (thread, accepted) in accepted.into_iter().enumerate() {
            assert_eq!(received.get(&(thread, ONE)).copied().unwrap_or(0), accepted);
        }
    }
}
