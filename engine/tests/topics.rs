//! Topics: a message reaches those who are members when it is published, in its place among all else that
//! they are sent.

mod common;

use common::{Raw, Seen, connect, eventually, frame, poll, poll_open, receive, start};
use std::collections::{BTreeSet, HashMap};
use tokio_tungstenite::tungstenite::Message;
use wsengine::{ConnId, Kind, SendError, Server};

/// Queues that hold all that a test sends.
const WIDE: [(&str, &str); 2] = [("send_queue_messages", "1000000"), ("send_queue_bytes", "100000000")];

fn wide(io_threads: &str) -> Server {
    start(&[WIDE[0], WIDE[1], ("io_threads", io_threads)])
}

fn open(server: &Server) -> (Raw, ConnId) {
    let raw = Raw::open(server);
    (raw, poll_open(server))
}

fn publish(server: &Server, topic: &str, text: &str, except: &[ConnId]) -> usize {
    server.publish(Kind::Text, topic, text.as_bytes(), except).unwrap()
}

fn text(raw: &mut Raw) -> String {
    let (first, data) = raw.read_frame();
    assert_eq!(first, 0x81);
    String::from_utf8(data).unwrap()
}

/// Reads the messages before the close of a connection.
fn texts_until_close(mut raw: Raw) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        match raw.read_frame() {
            (0x81, data) => texts.push(String::from_utf8(data).unwrap()),
            (0x88, _) => return texts,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_name_has_1_to_256_bytes_and_anything_in_them() {
    let server = start(&[]);
    let (mut raw, conn) = open(&server);
    for name in ["", &"x".repeat(257), &"ä".repeat(129)] {
        let error = SendError::BadTopic { len: name.len(), max: 256 };
        assert_eq!(server.subscribe(conn, name), Err(error.clone()));
        assert_eq!(server.unsubscribe(conn, name), Err(error.clone()));
        assert_eq!(server.publish(Kind::Text, name, b"x", &[]), Err(error));
    }
    assert_eq!(
        SendError::BadTopic { len: 257, max: 256 }.to_string(),
        "a topic's name of 257 bytes is not allowed; allowed are 1 to 256"
    );
    for name in ["x", "\0", " ", "a/b #+*", &"ä".repeat(128)] {
        assert_eq!(server.subscribe(conn, name), Ok(true));
        assert_eq!(publish(&server, name, name, &[]), 1);
        assert_eq!(text(&mut raw), name);
    }
    assert_eq!(server.stats().subscriptions, 5);
    assert_eq!((server.members("x"), server.members("y")), (Ok(1), Ok(0)));
    assert_eq!(server.members(""), Err(SendError::BadTopic { len: 0, max: 256 }));
    assert_eq!(server.publish(Kind::Text, "x", b"\xff", &[]), Err(SendError::NotUtf8));
    let too_big = server.publish(Kind::Binary, "x", &vec![0; 100_000_000], &[]);
    assert!(matches!(too_big, Err(SendError::TooBig { .. })));
}

#[test]
fn messages_keep_their_order_whichever_way_they_are_sent() {
    let server = wide("1");
    let (mut member, conn) = open(&server);
    let (mut other, other_conn) = open(&server);
    server.subscribe(conn, "news").unwrap();
    let large = "large ".repeat(5_000);
    for i in 0..2_000 {
        server.send(conn, Kind::Text, format!("{i} send").as_bytes()).unwrap();
        assert_eq!(publish(&server, "news", &format!("{i} publish"), &[]), 1);
        assert_eq!(server.broadcast(Kind::Text, format!("{i} broadcast").as_bytes(), &[]), Ok(2));
        assert_eq!(publish(&server, "news", &format!("{i} left out"), &[conn, other_conn]), 0);
        if i % 100 == 0 {
            assert_eq!(publish(&server, "news", &large, &[other_conn]), 1);
        }
    }
    for i in 0..2_000 {
        for way in ["send", "publish", "broadcast"] {
            assert_eq!(text(&mut member), format!("{i} {way}"));
        }
        if i % 100 == 0 {
            assert_eq!(text(&mut member), large);
        }
        assert_eq!(text(&mut other), format!("{i} broadcast"));
    }
}

#[test]
fn who_comes_and_goes_in_one_batch_gets_what_came_between() {
    let server = wide("1");
    let (mut raw, conn) = open(&server);
    let (_other, other) = open(&server);
    for i in 0..2_000 {
        assert_eq!(server.subscribe(conn, "a"), Ok(true));
        assert_eq!(publish(&server, "a", &format!("{i} first"), &[]), 1);
        assert_eq!(server.unsubscribe(conn, "a"), Ok(true));
        assert_eq!(publish(&server, "a", "to nobody", &[]), 0);
        // Another topic and another member take the number that became free.
        assert_eq!(server.subscribe(other, "b"), Ok(true));
        assert_eq!(publish(&server, "b", "to the other", &[]), 1);
        assert_eq!(server.subscribe(conn, "b"), Ok(true));
        assert_eq!(publish(&server, "b", &format!("{i} second"), &[other]), 1);
        assert_eq!(server.unsubscribe(other, "b"), Ok(true));
        assert_eq!(server.unsubscribe(conn, "b"), Ok(true));
    }
    for i in 0..2_000 {
        assert_eq!((text(&mut raw), text(&mut raw)), (format!("{i} first"), format!("{i} second")));
    }
}

#[test]
fn a_connection_leaves_its_topics_with_its_end() {
    let server = wide("2");
    let join = || {
        let (raw, conn) = open(&server);
        for topic in ["a", "b"] {
            assert_eq!(server.subscribe(conn, topic), Ok(true));
        }
        (raw, conn)
    };
    let (mut stayer, stays) = join();
    let (closed, aborted, mut closing, vanishing) = (join(), join(), join(), join());
    assert_eq!((publish(&server, "a", "all", &[]), server.stats().subscriptions), (5, 10));
    // From the call on that ends it.
    server.close(closed.1, 1000, "").unwrap();
    assert_eq!((publish(&server, "a", "four", &[]), server.stats().subscriptions), (4, 8));
    server.abort(aborted.1).unwrap();
    assert_eq!((publish(&server, "a", "three", &[]), server.stats().subscriptions), (3, 6));
    assert_eq!(server.subscribe(closed.1, "a"), Err(SendError::Gone));
    assert_eq!(server.unsubscribe(aborted.1, "a"), Err(SendError::Gone));
    assert_eq!(texts_until_close(closed.0), ["all"]);
    // From its event at the latest.
    let mut ended = BTreeSet::new();
    let mut ends = |conn: ConnId| {
        while !ended.contains(&conn) {
            let Seen::Close { conn, .. } = poll(&server) else { panic!("a close") };
            ended.insert(conn);
        }
    };
    closing.0.send(&frame(0x88, &[]));
    ends(closing.1);
    assert_eq!((publish(&server, "a", "two", &[]), server.stats().subscriptions), (2, 4));
    drop(vanishing.0);
    ends(vanishing.1);
    assert_eq!((publish(&server, "b", "one", &[]), server.stats().subscriptions), (1, 2));
    for expected in ["all", "four", "three", "two", "one"] {
        assert_eq!(text(&mut stayer), expected);
    }
    ends(closed.1);
    ends(aborted.1);
    // The next in the slots of those who left have none of their topics.
    let (mut newcomer, _) = open(&server);
    assert_eq!(publish(&server, "b", "still one", &[]), 1);
    server.broadcast(Kind::Text, b"everybody", &[stays]).unwrap();
    assert_eq!((text(&mut stayer), text(&mut newcomer)), ("still one".into(), "everybody".into()));
}

#[test]
fn one_that_ends_while_it_subscribes_leaves_nothing_to_the_next_in_its_slot() {
    let server = wide("1");
    let (mut witness, last) = open(&server);
    server.subscribe(last, "a").unwrap();
    let mut raced = 0;
    for i in 0..1_000 {
        let (raw, conn) = open(&server);
        drop(raw);
        match server.subscribe(conn, "a") {
            Ok(true) => raced += 1,
            result => assert_eq!(result, Err(SendError::Gone)),
        }
        assert!(matches!(poll(&server), Seen::Close { .. }));
        let (mut next, next_conn) = open(&server);
        assert_eq!(publish(&server, "a", &format!("{i}"), &[]), 1);
        server.close(next_conn, 1000, "").unwrap();
        assert_eq!(next.read_frame().0, 0x88);
        drop(next);
        assert!(matches!(poll(&server), Seen::Close { .. }));
        assert_eq!(text(&mut witness), format!("{i}"));
    }
    assert!(raced > 0, "the host was never first");
}

#[test]
fn a_close_and_an_abort_count_whatever_is_published_behind_them() {
    let server = wide("1");
    let (mut witness, last) = open(&server);
    for abort in [false, true] {
        for i in 0..200 {
            let (raw, conn) = open(&server);
            server.subscribe(conn, "a").unwrap();
            publish(&server, "a", "before", &[]);
            server.close(conn, 4000, "").unwrap();
            if abort {
                server.abort(conn).unwrap();
            }
            // By the number that the topic had.
            server.subscribe(last, "b").unwrap();
            publish(&server, "b", &format!("{i}"), &[]);
            server.unsubscribe(last, "b").unwrap();
            if abort {
                assert!(matches!(poll(&server), Seen::Close { conn: ended, .. } if ended == conn));
            } else {
                assert_eq!(texts_until_close(raw), ["before"]);
                poll(&server);
            }
            assert_eq!(text(&mut witness), format!("{i}"));
        }
    }
}

#[test]
fn ten_thousand_topics_on_one_connection() {
    let server = wide("1");
    let (mut raw, conn) = open(&server);
    let name = |i: u32| format!("topic {i}");
    // In no order.
    let numbers = || (0..10_000u32).map(|i| i * 7_919 % 10_000);
    numbers().for_each(|i| assert_eq!(server.subscribe(conn, &name(i)), Ok(true)));
    for i in numbers().step_by(3) {
        assert_eq!(publish(&server, &name(i), &name(i), &[]), 1);
        assert_eq!(server.unsubscribe(conn, &name(i)), Ok(true));
        assert_eq!(publish(&server, &name(i), "late", &[]), 0);
    }
    numbers().step_by(3).for_each(|i| assert_eq!(text(&mut raw), name(i)));
    assert_eq!(server.stats().subscriptions, 6_666);
    drop(raw);
    assert!(matches!(poll(&server), Seen::Close { .. }));
    assert_eq!(server.stats().subscriptions, 0);
}

#[test]
fn members_of_several_threads_all_get_it() {
    let server = start(&[("io_threads", "4")]);
    let mut clients: Vec<_> = (0..12).map(|_| (connect(&server), poll_open(&server))).collect();
    for (i, (_, conn)) in clients.iter().enumerate() {
        assert_eq!(server.subscribe(*conn, if i % 2 == 0 { "even" } else { "odd" }), Ok(true));
    }
    let except: Vec<_> = clients[..4].iter().map(|(_, conn)| *conn).collect();
    assert_eq!(publish(&server, "even", "to six", &[]), 6);
    assert_eq!(publish(&server, "odd", "to four", &except), 4);
    assert_eq!(server.broadcast(Kind::Text, b"to all", &[]), Ok(12));
    for (i, (client, _)) in clients.iter_mut().enumerate() {
        match i {
            i if i % 2 == 0 => assert_eq!(receive(client), Message::text("to six")),
            i if i > 4 => assert_eq!(receive(client), Message::text("to four")),
            _ => {}
        }
        assert_eq!(receive(client), Message::text("to all"));
    }
}

#[test]
fn a_member_that_reads_too_slowly_is_treated_as_by_a_broadcast() {
    let server =
        start(&[("send_queue_bytes", "100000"), ("slow_consumer", "drop_newest"), ("io_threads", "1")]);
    let (_asleep, conn) = open(&server);
    server.subscribe(conn, "a").unwrap();
    eventually("something is dropped", || {
        assert_eq!(server.publish(Kind::Binary, "a", &[0; 50_000], &[]), Ok(1));
        server.stats().messages_dropped > 0
    });
    assert!(server.is_open(conn));
}

/// All that one thread does, at random, against what each client should get of it.
fn storm(io_threads: &str, mut random: u32) {
    let server = wide(io_threads);
    let mut dice = |sides: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % sides
    };
    let mut clients: Vec<(Raw, ConnId)> = (0..8).map(|_| open(&server)).collect();
    let mut members: [BTreeSet<ConnId>; 5] = Default::default();
    let mut expected = HashMap::<ConnId, Vec<String>>::new();
    for number in 0..4_000 {
        let (who, topic) = (dice(8) as usize, dice(5) as usize);
        let (conn, name, message) = (clients[who].1, format!("topic {topic}"), format!("{number}"));
        let except: Vec<_> = (0..dice(3)).map(|_| clients[dice(8) as usize].1).collect();
        let mut expect = |conns: Vec<ConnId>, reached: usize| {
            assert_eq!(reached, conns.len());
            conns.into_iter().for_each(|conn| expected.entry(conn).or_default().push(message.clone()));
        };
        let text = message.as_bytes();
        match dice(20) {
            0..5 => assert_eq!(server.subscribe(conn, &name), Ok(members[topic].insert(conn))),
            5..8 => assert_eq!(server.unsubscribe(conn, &name), Ok(members[topic].remove(&conn))),
            8..14 => {
                let reached = server.publish(Kind::Text, &name, text, &except).unwrap();
                expect(members[topic].iter().filter(|c| !except.contains(c)).copied().collect(), reached);
            }
            14..17 => {
                server.send(conn, Kind::Text, text).unwrap();
                expect(vec![conn], 1);
            }
            17..19 => {
                let reached = server.broadcast(Kind::Text, text, &except).unwrap();
                let all = clients.iter().map(|(_, conn)| *conn);
                expect(all.filter(|conn| !except.contains(conn)).collect(), reached);
            }
            _ if number % 10 == 0 => {
                server.close(conn, 1000, "").unwrap();
                members.iter_mut().for_each(|members| members.retain(|member| *member != conn));
                let (raw, _) = std::mem::replace(&mut clients[who], (Raw::open(&server), conn));
                assert_eq!(texts_until_close(raw), expected.remove(&conn).unwrap_or_default());
                clients[who].1 = loop {
                    if let Seen::Open { conn, .. } = poll(&server) {
                        break conn;
                    }
                };
            }
            _ => {}
        }
    }
    for (mut raw, conn) in clients {
        for message in expected.remove(&conn).unwrap_or_default() {
            assert_eq!(text(&mut raw), message);
        }
    }
}

#[test]
fn a_storm_on_one_thread() {
    (1..4).for_each(|seed| storm("1", seed));
}

#[test]
fn a_storm_on_three_threads() {
    (4..7).for_each(|seed| storm("3", seed));
}
