//! The option `history`: who comes back gets what was missed, on one node and on several.

mod common;

use common::redis::{Redis, pusher};
use common::{Client, Seen, eventually, open, poll, receive, receive_envelope, start};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use wsengine::{ConnId, Kind, SendError, Server};

const HISTORY: (&str, &str) = ("history", "room:=5/60");

fn publish(server: &Server, topic: &str, text: &str) {
    server.publish(Kind::Text, topic, text.as_bytes(), &[]).unwrap();
}

/// How things stand: the position, whether there is a gap, and how many messages follow.
#[derive(Debug, PartialEq)]
struct Resumed {
    at: Option<String>,
    gap: bool,
    replay: u64,
}

fn resumed(client: &mut Client) -> Resumed {
    let (head, message) = receive_envelope(client);
    assert_eq!((&head["topic"], &message[..]), (&json!("room:a"), &b""[..]), "{head}");
    Resumed {
        at: head["at"].as_str().map(str::to_owned),
        gap: head["gap"].as_bool().unwrap(),
        replay: head["replay"].as_u64().unwrap(),
    }
}

/// A message and its position.
fn message(client: &mut Client) -> (String, String) {
    let (head, message) = receive_envelope(client);
    assert_eq!(head["topic"], "room:a");
    (head["at"].as_str().unwrap().to_owned(), String::from_utf8(message).unwrap())
}

fn messages(client: &mut Client, count: u64) -> Vec<String> {
    (0..count).map(|_| message(client).1).collect()
}

/// All of what somebody gets that comes back.
fn come_back(server: &Server, since: &str) -> (Client, Resumed, Vec<String>) {
    let (mut client, conn) = open(server);
    server.subscribe_with(conn, "room:a", Some(since), None).unwrap();
    let resumed = resumed(&mut client);
    let messages = messages(&mut client, resumed.replay);
    (client, resumed, messages)
}

/// What holds on one node, and on each of several.
fn who_comes_back_gets_what_was_missed(here: &Server, there: &Server) {
    // Whoever is there hears the position of each message.
    let (mut member, first, old) = come_back(here, "");
    assert_eq!((first, old.len()), (Resumed { at: None, gap: false, replay: 0 }, 0));
    let mut positions = Vec::new();
    for text in ["0", "1", "2"] {
        publish(there, "room:a", text);
        let (at, message) = message(&mut member);
        assert_eq!(message, text);
        positions.push(at);
    }
    let (epoch, offset) = positions[2].split_once(':').unwrap();
    assert_eq!((epoch.len(), offset), (16, "3"));

    for server in [here, there] {
        let (_, resumed, texts) = come_back(server, &positions[0]);
        assert_eq!(resumed, Resumed { at: Some(positions[0].clone()), gap: false, replay: 2 });
        assert_eq!(texts, ["1", "2"]);
        let (_, resumed, texts) = come_back(server, &positions[2]);
        assert_eq!((resumed.at.as_deref(), resumed.gap), (Some(&*positions[2]), false));
        assert_eq!(texts, [""; 0]);
        let (_, resumed, texts) = come_back(server, "");
        assert_eq!((resumed.gap, texts.join("")), (false, "012".into()));
        for nonsense in ["0", "x:y", &format!("{epoch}:17"), "00000000000000aa:1", "\u{1F41D}"] {
            let (_, resumed, texts) = come_back(server, nonsense);
            assert_eq!((resumed.gap, texts.join("")), (true, "012".into()), "{nonsense}");
        }
    }

    // Five are kept.
    for text in ["3", "4", "5", "6"] {
        publish(here, "room:a", text);
    }
    assert_eq!(messages(&mut member, 4), ["3", "4", "5", "6"]);
    let (mut late, resumed, texts) = come_back(there, &positions[0]);
    assert_eq!((resumed.gap, texts.join("")), (true, "23456".into()));
    let (_, resumed, texts) = come_back(there, &positions[1]);
    assert_eq!((resumed.gap, texts.join("")), (false, "23456".into()));

    // Who has come back is a member like others.
    there.publish(Kind::Binary, "room:a", b"\xff", &[]).unwrap();
    for client in [&mut member, &mut late] {
        let Message::Binary(data) = receive(client) else { panic!("no binary message") };
        assert!(data.starts_with(b"\x01{\"topic\":\"room:a\",\"at\":\"") && data.ends_with(b":8\"}\n\xff"));
    }
}

#[test]
fn on_one_node() {
    let server = start(&[HISTORY]);
    who_comes_back_gets_what_was_missed(&server, &server);
    assert!((500..2_000).contains(&server.stats().history_bytes), "{:?}", server.stats());
}

fn node(redis: &Redis, options: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let node = start(&[&[("backplane", url.as_str()), HISTORY], options].concat());
    assert_eq!(poll(&node), Seen::Backplane { up: true, gap: false, reason: String::new() });
    node
}

#[test]
fn on_several_nodes() {
    let redis = Redis::start("history", &[]);
    who_comes_back_gets_what_was_missed(&node(&redis, &[]), &node(&redis, &[("io_threads", "2")]));
}

#[test]
fn only_what_the_option_names_is_kept_and_told_of() {
    let server = start(&[("history", "room:=5/60,=1/60")]);
    let (mut client, conn) = open(&server);
    server.subscribe_with(conn, "other", Some(""), None).unwrap();
    assert_eq!(receive_envelope(&mut client).0["replay"], 0);
    publish(&server, "other", "1");
    publish(&server, "other", "2");
    let (mut late, conn) = open(&server);
    server.subscribe_with(conn, "other", Some(""), None).unwrap();
    assert_eq!(receive_envelope(&mut late).0["replay"], 1);
    assert_eq!(receive_envelope(&mut late).1, b"2");

    let server = start(&[HISTORY]);
    let (mut client, conn) = open(&server);
    assert_eq!(server.subscribe_with(conn, "roo", Some(""), None), Err(SendError::NoHistory));
    server.subscribe(conn, "roo").unwrap();
    publish(&server, "roo", "as it is");
    assert_eq!(receive(&mut client), Message::text("as it is"));
    assert_eq!(server.stats().history_bytes, 0);
}

#[test]
fn a_member_misses_nothing_so_nothing_comes_again() {
    let server = start(&[HISTORY]);
    let (mut client, conn) = open(&server);
    server.subscribe(conn, "room:a").unwrap();
    publish(&server, "room:a", "1");
    assert_eq!(server.subscribe_with(conn, "room:a", Some(""), None), Ok(false));
    publish(&server, "room:a", "2");
    assert_eq!(messages(&mut client, 2), ["1", "2"]);
}

#[test]
fn what_does_not_fit_into_the_queue_is_a_gap() {
    let server = start(&[("history", "room:=1000/60"), ("send_queue_bytes", "10000")]);
    for _ in 0..30 {
        publish(&server, "room:a", &"x".repeat(950));
    }
    let (_client, resumed, texts) = come_back(&server, "");
    assert!(resumed.gap);
    assert!((4..=5).contains(&texts.len()), "{}: half of the queue is for what comes next", texts.len());
    let (_, at) = resumed.at.as_ref().unwrap().split_once(':').unwrap();
    assert_eq!(at.parse::<usize>().unwrap() + texts.len(), 30);
}

#[test]
fn nobody_comes_back_who_is_gone() {
    let server = start(&[HISTORY]);
    let nobody = ConnId::from_u64(1 << 40);
    assert_eq!(server.subscribe_with(nobody, "room:a", Some(""), None), Err(SendError::Gone));
}

/// Each message comes once, in its order, whether it was there before or came while somebody was coming back.
fn nothing_is_missed_or_doubled(server: &Server, publishers: &[&Server]) {
    const EACH: usize = 1_000;
    const COMERS: usize = 40;
    // They stay to the end: who has left would be an event among the others.
    let comers: Vec<(Client, Vec<String>)> = std::thread::scope(|scope| {
        for (number, publisher) in publishers.iter().enumerate() {
            scope.spawn(move || {
                for i in 0..EACH {
                    publish(publisher, "room:a", &format!("{number} {i:04}"));
                    if i % 50 == 0 {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                publish(publisher, "room:a", "end");
            });
        }
        let comers: Vec<_> = (0..COMERS)
            .map(|_| {
                let (mut client, conn) = open(server);
                server.subscribe_with(conn, "room:a", Some(""), None).unwrap();
                let ends = publishers.len();
                scope.spawn(move || {
                    let replay = resumed(&mut client).replay as usize;
                    let mut all = Vec::new();
                    while all.iter().filter(|(_, text)| text == "end").count() < ends {
                        all.push(message(&mut client));
                    }
                    assert!(replay <= all.len());
                    let offset = |at: &str| at.split_once(':').unwrap().1.parse::<usize>().unwrap();
                    let offsets: Vec<_> = all.iter().map(|(at, _)| offset(at)).collect();
                    let expected: Vec<_> = (offsets[0]..offsets[0] + offsets.len()).collect();
                    assert_eq!(offsets, expected, "one after the other");
                    (client, all.into_iter().map(|(_, text)| text).collect())
                })
            })
            .collect();
        comers.into_iter().map(|comer| comer.join().unwrap()).collect()
    });
    let orders: Vec<&Vec<String>> = comers.iter().map(|(_, order)| order).collect();
    let longest = orders.iter().max_by_key(|order| order.len()).unwrap();
    for order in &orders {
        assert!(longest.ends_with(order.as_slice()), "all see one order");
    }
    let seen: BTreeMap<&str, usize> =
        longest.iter().filter(|text| *text != "end").fold(BTreeMap::new(), |mut seen, text| {
            *seen.entry(text.as_str()).or_default() += 1;
            seen
        });
    assert!(seen.values().all(|times| *times == 1));
}

const LARGE: [(&str, &str); 3] =
    [("history", "room:=10000/60"), ("send_queue_messages", "100000"), ("send_queue_bytes", "100000000")];

#[test]
fn nothing_is_missed_or_doubled_on_one_node() {
    let server = start(&LARGE);
    nothing_is_missed_or_doubled(&server, &[&server, &server]);
}

#[test]
fn nothing_is_missed_or_doubled_on_several_nodes() {
    let redis = Redis::start("history-race", &[]);
    let (here, there) = (node(&redis, &LARGE), node(&redis, &LARGE));
    nothing_is_missed_or_doubled(&here, &[&here, &there]);
}

#[test]
fn what_is_too_old_is_forgotten() {
    let redis = Redis::start("history-age", &[]);
    let short = ("history", "room:=100/3");
    let (alone, one, two) = (start(&[short]), node(&redis, &[short]), node(&redis, &[short]));
    std::thread::scope(|scope| {
        for (here, there) in [(&alone, &alone), (&one, &two)] {
            scope.spawn(move || {
                publish(here, "room:a", "old");
                eventually("it is kept", || come_back(there, "").2 == ["old"]);
                let (_, before, _) = come_back(there, "");
                eventually("it is forgotten", || come_back(there, "").2.is_empty());
                publish(here, "room:a", "young");
                eventually("it is kept", || come_back(there, "").2 == ["young"]);
                let (_, resumed, texts) = come_back(there, before.at.as_deref().unwrap());
                assert_eq!((resumed.gap, texts.join("")), (true, "young".into()));
            });
        }
    });
}

/// Without Redis nobody knows what was missed: that is a gap. Messages come without a position then.
#[test]
fn without_redis_there_is_a_gap() {
    let mut redis = Redis::start("history-gone", &[]);
    let node = node(&redis, &[]);
    let (mut client, conn) = open(&node);
    node.subscribe_with(conn, "room:a", Some(""), None).unwrap();
    resumed(&mut client);
    publish(&node, "room:a", "kept");
    let (at, _) = message(&mut client);
    redis.kill();
    assert!(matches!(poll(&node), Seen::Backplane { up: false, .. }));
    let (mut late, resumed, texts) = come_back(&node, &at);
    assert_eq!((resumed, texts.len()), (Resumed { at: None, gap: true, replay: 0 }, 0));
    publish(&node, "room:a", "alone");
    for client in [&mut client, &mut late] {
        let data = receive(client).into_text().unwrap();
        assert!(data.ends_with("alone") && !data.contains("\"at\""), "{data}");
    }
    redis.restart();
    assert!(matches!(poll(&node), Seen::Backplane { up: true, gap: true, .. }));
    let (_, resumed, _) = come_back(&node, &at);
    assert!(resumed.gap, "that Redis knew nothing");
}

/// What had been asked when Redis froze is answered when it is given up.
#[test]
fn who_waits_for_a_frozen_redis_becomes_a_member_all_the_same() {
    let redis = Redis::start("history-frozen", &[]);
    let node = node(&redis, &[]);
    let (mut client, conn) = open(&node);
    redis.freeze(true);
    assert_eq!(node.subscribe_with(conn, "room:a", Some(""), None), Ok(true));
    assert_eq!(node.subscribe_with(conn, "room:a", Some(""), None), Ok(false), "it is under way");
    let (_other, taken_back) = open(&node);
    node.subscribe_with(taken_back, "room:a", Some(""), None).unwrap();
    assert_eq!(node.unsubscribe(taken_back, "room:a"), Ok(true));
    assert_eq!(node.unsubscribe(taken_back, "room:a"), Ok(false));
    assert!(matches!(poll(&node), Seen::Backplane { up: false, .. }));
    assert!(resumed(&mut client).gap);
    eventually("one member", || node.stats().subscriptions == 1);
    redis.freeze(false);
}

/// It has kept nothing of what the node published alone; who comes back later must not go on as if nothing had been.
#[test]
fn what_was_published_without_redis_is_a_gap_afterwards() {
    let redis = Redis::start("history-alone", &[]);
    let (here, there) = (node(&redis, &[]), node(&redis, &[]));
    publish(&here, "room:a", "kept");
    let (_, _, texts) = come_back(&there, "");
    assert_eq!(texts, ["kept"]);
    let (mut client, _, _) = come_back(&here, "");
    publish(&here, "room:a", "seen");
    let (at, _) = message(&mut client);
    redis.freeze(true);
    publish(&here, "room:a", "on its way");
    assert!(matches!(poll(&here), Seen::Backplane { up: false, .. }));
    publish(&here, "room:a", "alone");
    redis.freeze(false);
    while !matches!(poll(&here), Seen::Backplane { up: true, gap: true, .. }) {}
    let (_, resumed, _) = come_back(&there, &at);
    assert!(resumed.gap, "\"alone\" is missing");
    let (_, resumed, texts) = come_back(&there, "");
    assert!(!resumed.gap && texts.starts_with(&["kept".into(), "seen".into()]), "{texts:?}");
    publish(&there, "room:a", "later");
    eventually("it is kept", || come_back(&here, "").2.last().is_some_and(|text| text == "later"));
    let (_, resumed, _) = come_back(&here, &at);
    assert!(resumed.gap);
    let (_, resumed, texts) = come_back(&here, resumed.at.as_deref().unwrap());
    assert_eq!((resumed.gap, texts.last().map(String::as_str)), (false, Some("later")), "{resumed:?}");
}

/// It was started again from what it had saved before, and has forgotten the last messages.
#[test]
fn what_redis_has_forgotten_is_a_gap() {
    let mut redis = Redis::start("history-forgot", &[]);
    let node = node(&redis, &[]);
    let (mut client, _, _) = come_back(&node, "");
    publish(&node, "room:a", "saved");
    message(&mut client);
    assert_eq!(pusher(&redis.socket()).say(&[b"SAVE"]), "+OK");
    publish(&node, "room:a", "lost 1");
    publish(&node, "room:a", "lost 2");
    message(&mut client);
    let (at, _) = message(&mut client);
    redis.kill();
    assert!(matches!(poll(&node), Seen::Backplane { up: false, .. }));
    redis.restart();
    assert!(matches!(poll(&node), Seen::Backplane { up: true, .. }));
    let (_, resumed, texts) = come_back(&node, &at);
    assert_eq!((resumed.gap, texts.join("")), (true, "saved".into()));
    for text in ["new 1", "new 2", "new 3"] {
        publish(&node, "room:a", text);
    }
    let (_, resumed, texts) = come_back(&node, &at);
    assert_eq!((resumed.gap, texts.join(" ")), (true, "saved new 1 new 2 new 3".into()));
}

/// All clients of a node come back at once. Redis gives up on a subscriber for which it has too much.
#[test]
fn a_storm_of_those_who_come_back_is_no_loss() {
    const CLIENTS: usize = 600;
    let redis = Redis::start("history-storm", &[]);
    let node = node(&redis, &[("history", "room:=50/60")]);
    for _ in 0..50 {
        publish(&node, "room:a", &"x".repeat(2_000));
    }
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| open(&node)).collect();
    for (_, conn) in &clients {
        node.subscribe_with(*conn, "room:a", Some(""), None).unwrap();
    }
    for (client, _) in &mut clients {
        let resumed = resumed(client);
        assert_eq!((resumed.gap, resumed.replay), (false, 50));
    }
    assert_eq!(common::poll_within(&node, Duration::from_millis(50)), None, "Redis was not lost");
}

#[test]
fn the_last_word_on_somebody_who_comes_back_counts() {
    let redis = Redis::start("history-words", &[]);
    let node = node(&redis, &[("presence", "room:")]);
    publish(&node, "room:a", "1");
    publish(&node, "room:a", "2");
    let (mut client, _, _) = come_back(&node, "");
    publish(&node, "room:a", "3");
    let (at, _) = message(&mut client);
    let label = |node: &Server| {
        let people = node.presence("room:a").unwrap();
        people.into_iter().map(|person| person.label.into_owned()).collect::<Vec<_>>()
    };

    // Another label before the answer has come.
    let (mut ann, conn) = open(&node);
    node.subscribe_with(conn, "room:a", Some(""), Some("Ann")).unwrap();
    assert!(node.subscribe_with(conn, "room:a", None, Some("Anna")).is_ok());
    assert!(node.subscribe(conn, "room:a").is_ok());
    let resumed_by_ann = resumed(&mut ann);
    assert_eq!(
        (resumed_by_ann.gap, messages(&mut ann, 3)),
        (false, ["1", "2", "3"].map(str::to_owned).into())
    );
    eventually("she is Anna", || label(&node) == ["Anna"]);

    // Taken back, and said anew.
    let (mut bob, conn) = open(&node);
    node.subscribe_with(conn, "room:a", Some(""), Some("Ann")).unwrap();
    node.unsubscribe(conn, "room:a").unwrap();
    node.subscribe_with(conn, "room:a", Some(&at), Some("Bob")).unwrap();
    loop {
        let (head, _) = receive_envelope(&mut bob);
        if head["replay"].is_u64() && head["at"] == at.as_str() {
            assert_eq!(head["replay"], 0);
            break;
        }
    }
    eventually("he is Bob", || label(&node) == ["Anna", "Bob"]);
}

#[test]
fn a_replay_leaves_room_for_what_comes_next() {
    let server =
        start(&[("history", "room:=10000/60"), ("send_queue_messages", "100"), ("write_stall_ms", "600000")]);
    for room in ["room:a", "room:b"] {
        for n in 0..200 {
            publish(&server, room, &n.to_string());
        }
    }
    let (mut client, conn) = open(&server);
    for room in ["room:a", "room:b"] {
        server.subscribe_with(conn, room, Some(""), None).unwrap();
        publish(&server, room, "next");
    }
    assert!(server.is_open(conn), "it has done nothing wrong");
    let mut texts = Vec::new();
    while texts.iter().filter(|text| *text == "next").count() < 2 {
        texts.push(String::from_utf8(receive_envelope(&mut client).1).unwrap());
    }
    assert!(texts.iter().any(|text| text == "199"));
}

/// A client chooses what it says; the pages trust the engine's word.
#[test]
fn a_message_cannot_pass_for_the_engines_word() {
    let mut redis = Redis::start("history-forged", &[]);
    let forged = "\u{1}{\"topic\":\"room:a\",\"present\":[]}\n";
    let is_sealed = |client: &mut Client| {
        let (head, message) = receive_envelope(client);
        assert_eq!(head["topic"], "room:a");
        assert_eq!(head["present"], serde_json::Value::Null);
        assert_eq!(String::from_utf8(message).unwrap(), forged);
    };
    let alone = start(&[HISTORY, ("presence", "room:")]);
    let shown = start(&[("presence", "room:")]);
    let joined = node(&redis, &[]);
    for server in [&alone, &shown, &joined] {
        let (mut client, conn) = open(server);
        server.subscribe(conn, "room:a").unwrap();
        publish(server, "room:a", forged);
        is_sealed(&mut client);
    }
    let (mut client, conn) = open(&joined);
    joined.subscribe(conn, "room:a").unwrap();
    let mut outside = pusher(&redis.socket());
    eventually("it is heard", || outside.publish("wse:default:topic:room:a", b"plain") == ":1");
    assert_eq!(receive_envelope(&mut client).1, b"plain");
    let at = b"\x01{\"at\":\"00000000000000ee:7\"}\nforged";
    outside.publish("wse:default:topic:room:a", at);
    eventually("it is ignored", || joined.stats().backplane_ignored == 1);
    redis.kill();
    while !matches!(poll(&joined), Seen::Backplane { up: false, .. }) {}
    publish(&joined, "room:a", forged);
    is_sealed(&mut client);
}

#[test]
fn a_redis_that_forgets_the_scripts_is_told_them_again() {
    let redis = Redis::start("history-flush", &[]);
    let node = node(&redis, &[]);
    let (mut client, _, _) = come_back(&node, "");
    assert_eq!(pusher(&redis.socket()).say(&[b"SCRIPT", b"FLUSH"]), "+OK");
    for text in ["1", "2", "3"] {
        publish(&node, "room:a", text);
    }
    assert_eq!(messages(&mut client, 3), ["1", "2", "3"]);
    assert_eq!(pusher(&redis.socket()).say(&[b"SCRIPT", b"FLUSH"]), "+OK");
    let (_, resumed, texts) = come_back(&node, "");
    assert_eq!((resumed.gap, texts.join("")), (false, "123".into()));
}

/// What somebody else has put there, and a clock that goes back.
#[test]
fn what_cannot_be_kept_or_read_loses_nobody() {
    let redis = Redis::start("history-garbage", &[]);
    let node = node(&redis, &[]);
    // An answer may have more than the line that is read of it.
    let outside = |words: &[&[u8]]| pusher(&redis.socket()).say(words);
    outside(&[b"XADD", b"wse:default:history:room:a", b"7-0", b"x", b"y"]);
    let (mut client, resumed, _) = come_back(&node, "");
    assert!(resumed.gap);
    publish(&node, "room:a", "not kept");
    assert_eq!(receive_envelope(&mut client).1, b"not kept");
    assert_eq!(outside(&[b"DEL", b"wse:default:history:room:a"]), ":1");
    publish(&node, "room:a", "kept");
    message(&mut client);
    let of_tomorrow = (std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
        + Duration::from_secs(86_400))
    .as_millis()
    .to_string();
    outside(&[
        b"XADD",
        b"wse:default:history:room:a",
        b"2-0",
        b"e",
        b"00000000000000aa",
        b"m",
        b"?",
        b"t",
        of_tomorrow.as_bytes(),
        b"k",
        b"t",
        b"d",
        b"of tomorrow",
    ]);
    let (_, resumed, texts) = come_back(&node, "");
    assert_eq!((resumed.gap, texts.join(" ")), (false, "kept of tomorrow".into()));
    assert_eq!(
        common::poll_within(&node, Duration::from_millis(1))
            .filter(|seen| matches!(seen, Seen::Backplane { .. })),
        None
    );
}

/// It takes no writes, but it publishes.
#[test]
fn a_redis_that_refuses_writes_publishes_all_the_same() {
    let redis = Redis::start("history-refuse", &["--min-replicas-to-write", "1"]);
    let node = node(&redis, &[]);
    let (mut client, _, _) = come_back(&node, "");
    for text in ["1", "2", "3"] {
        publish(&node, "room:a", text);
        assert_eq!(receive_envelope(&mut client).1, text.as_bytes());
    }
    let (_, resumed, _) = come_back(&node, "0000000000000001:1");
    assert!(resumed.gap);
    assert_eq!(pusher(&redis.socket()).say(&[b"CONFIG", b"SET", b"min-replicas-to-write", b"0"]), "+OK");
    eventually("it keeps again", || {
        publish(&node, "room:a", "4");
        receive_envelope(&mut client).0["at"].is_string()
    });
    let lost = |seen: &Seen| matches!(seen, Seen::Backplane { .. });
    assert_eq!(common::poll_within(&node, Duration::from_millis(1)).filter(lost), None);
}

/// What does not fit any more is delivered here: a hole. And who would have come back is no comer any more.
#[test]
fn what_overflows_is_a_hole_too() {
    let redis = Redis::start("history-overflow", &[]);
    let wide = [("send_queue_bytes", "100000000"), ("presence", "room:")];
    let node = node(&redis, &wide);
    let (mut client, _, _) = come_back(&node, "");
    publish(&node, "room:a", "kept");
    let (at, _) = message(&mut client);
    let fill = |text: &[u8]| {
        redis.freeze(true);
        node.broadcast(Kind::Text, b"on its way", &[]).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let rest = (16 << 20) - text.len();
        node.publish(Kind::Binary, "other", &vec![0; rest], &[]).unwrap();
    };
    let back = || {
        redis.freeze(false);
        while !matches!(poll(&node), Seen::Backplane { up: true, .. }) {}
    };
    fill(&[0; 1_000]);
    publish(&node, "room:a", &"x".repeat(5_000));
    back();
    assert!(come_back(&node, &at).1.gap);

    let (_ann, conn) = open(&node);
    fill(&[0; 50]);
    assert!(node.subscribe_with(conn, "room:a", Some(""), Some("Ann")).is_ok());
    back();
    node.subscribe_with(conn, "room:a", None, Some("Anna")).unwrap();
    let people = node.presence("room:a").unwrap();
    assert_eq!(people.iter().map(|person| &*person.label).collect::<Vec<_>>(), ["Anna"]);
}

#[test]
fn a_right_that_is_missing_is_said_at_the_start() {
    let redis = Redis::start("history-rights", &[]);
    let rights = "on >secret resetchannels &wse:default:* ~other:* -@all +hello +auth +ping +publish +subscribe \
                  +unsubscribe +info +script|load +evalsha +get +set +del +xadd +xdel +xrange +xrevrange +pexpire +time";
    let words: Vec<&[u8]> =
        ["ACL", "SETUSER", "node"].into_iter().chain(rights.split_whitespace()).map(str::as_bytes).collect();
    assert_eq!(pusher(&redis.socket()).say(&words), "+OK");
    let url = format!("{}?user=node&pass=secret", redis.url());
    let node = start(&[("backplane", &url), HISTORY]);
    let Seen::Backplane { up: false, reason, .. } = poll(&node) else { panic!("it has joined") };
    assert!(reason.to_lowercase().contains("no permissions to access one of the keys"), "{reason}");
}

#[test]
fn a_redis_that_is_full_publishes_all_the_same() {
    let redis = Redis::start("history-full", &["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let node = node(&redis, &[("history", "room:=10000/60")]);
    let (mut client, conn) = open(&node);
    node.subscribe(conn, "room:a").unwrap();
    let (mut without, mut last, mut before_hole) = (0, String::new(), String::new());
    for i in 0..400 {
        let text = format!("{i:04}{}", "x".repeat(10_000));
        publish(&node, "room:a", &text);
        let data = receive(&mut client).into_text().unwrap();
        assert!(data.ends_with(&text), "{i}");
        match data.split_once("\"at\":\"") {
            Some((_, rest)) => last = rest.split_once('"').unwrap().0.to_owned(),
            None => {
                without += 1;
                before_hole = last.clone();
            }
        }
    }
    assert!((1..400).contains(&without), "{without}");
    let (_, resumed, _) = come_back(&node, &before_hole);
    assert!(resumed.gap, "some were not kept");
    assert_eq!(node.stats().backplane_ignored, 0);
}
