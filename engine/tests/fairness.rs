//! One busy connection does not keep the others of its thread waiting.

mod common;

use common::*;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use wsengine::Kind;

/// While one task woke itself the runtime looked at the sockets only every 61 turns of a megabyte each: pings of others
/// waited for two seconds, and so did the end.
#[test]
fn a_flood_of_large_messages_delays_nobody() {
    let options = [("io_threads", "1"), ("send_queue_bytes", "67108864"), ("event_queue_bytes", "268435456")];
    let host = Host::echo(&options);
    let flooder = Raw::open(&host.server).0;
    let mut other = Raw::open(&host.server);
    let over = Arc::new(AtomicBool::new(false));
    let mut writer = flooder.try_clone().unwrap();
    let writing = {
        let (over, message) = (over.clone(), frame(0x82, &vec![7; 1 << 20]));
        std::thread::spawn(
            move || while !over.load(Ordering::Relaxed) && writer.write_all(&message).is_ok() {},
        )
    };
    let mut reader = flooder.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    let mut worst = Duration::ZERO;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_millis(20));
        let begin = Instant::now();
        other.send(&frame(0x89, b"?"));
        assert_eq!(other.read_frame(), (0x8a, b"?".to_vec()));
        worst = worst.max(begin.elapsed());
    }
    over.store(true, Ordering::Relaxed);
    flooder.shutdown(std::net::Shutdown::Both).unwrap();
    writing.join().unwrap();
    reading.join().unwrap();
    // Far above what it takes in a debug build on a busy machine, and far below what it took.
    assert!(worst < Duration::from_millis(1_000), "{worst:?}");
}

/// The thread took one batch after another from its mailbox, and looked at the sockets when the host made a pause.
#[test]
fn a_host_that_publishes_without_a_pause_keeps_no_peer_waiting() {
    const MEMBERS: usize = 200;
    let options = [("io_threads", "1"), ("slow_consumer", "drop_newest"), ("write_stall_ms", "600000")];
    let server = Arc::new(start(&options));
    let members: Vec<_> = (0..MEMBERS)
        .map(|_| {
            let member = Raw::open(&server);
            server.subscribe(poll_open(&server), "topic").unwrap();
            member
        })
        .collect();
    let mut other = Raw::open(&server);
    let over = Arc::new(AtomicBool::new(false));
    let published = Arc::new(AtomicUsize::new(0));
    let host = {
        let (server, over, published) = (server.clone(), over.clone(), published.clone());
        std::thread::spawn(move || {
            let begin = Instant::now();
            while !over.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(60) {
                server.publish(Kind::Text, "topic", b"", &[]).unwrap();
                published.fetch_add(1, Ordering::Relaxed);
            }
            over.load(Ordering::Relaxed)
        })
    };
    // More than a mailbox holds.
    eventually("a flood", || published.load(Ordering::Relaxed) * MEMBERS > 200_000);
    other.send(&frame(0x89, b"?"));
    assert_eq!(other.read_frame(), (0x8a, b"?".to_vec()));
    over.store(true, Ordering::Relaxed);
    assert!(host.join().unwrap(), "the pong came while the host published");
    drop(members);
}
