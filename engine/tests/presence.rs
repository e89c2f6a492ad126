//! The option `presence`: members hear who is there, on one node and on several.

mod common;

use common::redis::{Redis, pusher};
use common::{Client, Seen, eventually, open, poll, receive_envelope, start};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wsengine::{ConnId, Kind, SendError, Server};

const PRESENCE: (&str, &str) = ("presence", "room:");

fn join(server: &Server, label: &str) -> (Client, ConnId) {
    let (client, conn) = open(server);
    server.subscribe_with(conn, "room:a", None, Some(label)).unwrap();
    (client, conn)
}

/// People as a page sees them: by id.
#[derive(Debug, Default, PartialEq)]
struct Page {
    people: BTreeMap<String, String>,
    /// How many messages it has got.
    heard: usize,
}

impl Page {
    fn hear(&mut self, client: &mut Client) {
        let (head, message) = receive_envelope(client);
        assert_eq!((&head["topic"], &message[..]), (&Value::from("room:a"), &b""[..]));
        let people = |key: &str| head[key].as_array().cloned().unwrap_or_default();
        let text = |person: &Value, key: &str| person[key].as_str().unwrap().to_owned();
        if head.get("present").is_some() {
            self.people.clear();
        }
        for person in people("present").iter().chain(&people("joined")) {
            self.people.insert(text(person, "id"), text(person, "label"));
        }
        for person in people("left") {
            // Who came just after that is told of somebody who was not in its list.
            let before = self.people.remove(&text(&person, "id"));
            assert!(before.is_none_or(|label| label == text(&person, "label")));
        }
        self.heard += 1;
    }

    /// Hears until these are there.
    fn sees(&mut self, client: &mut Client, labels: &[&str]) {
        while self.labels() != labels {
            self.hear(client);
        }
    }

    fn labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = self.people.values().map(String::as_str).collect();
        labels.sort_unstable();
        labels
    }
}

fn labels(server: &Server) -> Vec<String> {
    let people = server.presence("room:a").unwrap();
    let mut labels: Vec<String> = people.into_iter().map(|person| person.label.into_owned()).collect();
    labels.sort_unstable();
    labels
}

/// What holds on one node, and between two.
fn members_hear_who_comes_and_who_leaves(here: &Server, there: &Server) {
    let (mut ann, _) = join(here, "Ann");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann"]);
    let (bob, conn) = join(there, "Bob");
    page.sees(&mut ann, &["Ann", "Bob"]);
    let (mut watcher, _) = join(there, "");
    let mut watched = Page::default();
    watched.sees(&mut watcher, &["Ann", "Bob"]);
    for server in [here, there] {
        eventually("both are there", || labels(server) == ["Ann", "Bob"]);
    }

    there.subscribe_with(conn, "room:a", None, Some("Robert")).unwrap();
    page.sees(&mut ann, &["Ann", "Robert"]);
    watched.sees(&mut watcher, &["Ann", "Robert"]);
    let ids = |page: &Page| page.people.keys().cloned().collect::<Vec<_>>();
    assert_eq!(ids(&page), ids(&watched), "they have the same names everywhere");
    drop(bob);
    page.sees(&mut ann, &["Ann"]);
    watched.sees(&mut watcher, &["Ann"]);
    let (_carl, conn) = join(there, "Carl");
    page.sees(&mut ann, &["Ann", "Carl"]);
    there.unsubscribe(conn, "room:a").unwrap();
    page.sees(&mut ann, &["Ann"]);
    let (_dora, conn) = join(there, "Dora");
    page.sees(&mut ann, &["Ann", "Dora"]);
    there.close(conn, 1000, "").unwrap();
    page.sees(&mut ann, &["Ann"]);
    assert_eq!(labels(here), ["Ann"]);
}

#[test]
fn on_one_node() {
    let server = start(&[PRESENCE]);
    members_hear_who_comes_and_who_leaves(&server, &server);
}

fn node(redis: &Redis, options: &[(&str, &str)]) -> Server {
    let url = redis.url();
    let node = start(&[&[("backplane", url.as_str()), PRESENCE], options].concat());
    assert_eq!(poll(&node), Seen::Backplane { up: true, gap: false, reason: String::new() });
    node
}

#[test]
fn on_several_nodes() {
    let redis = Redis::start("presence", &[]);
    members_hear_who_comes_and_who_leaves(&node(&redis, &[]), &node(&redis, &[("io_threads", "2")]));
}

/// A script wants to know who is there before it lets the first one in.
#[test]
fn a_node_knows_who_is_on_a_topic_of_the_option_before_it_has_members() {
    let redis = Redis::start("presence-always", &[]);
    let names = ("presence", "other:,room:a");
    let (here, there) = (node(&redis, &[names]), node(&redis, &[names]));
    let (_ann, conn) = join(&here, "Ann");
    here.subscribe_with(conn, "other:1", None, Some("Ann")).unwrap();
    eventually("it has heard", || labels(&there) == ["Ann"]);
    assert_eq!(there.presence("other:1"), Ok(Vec::new()));
    let late = node(&redis, &[names]);
    eventually("it has asked", || labels(&late) == ["Ann"]);
}

#[test]
fn only_topics_that_the_option_names_have_it() {
    let server = start(&[PRESENCE]);
    let (_client, conn) = open(&server);
    assert_eq!(server.subscribe_with(conn, "other", None, Some("Ann")), Err(SendError::NoPresence));
    assert_eq!(server.presence("other"), Err(SendError::NoPresence));
    let long = "x".repeat(1_025);
    let error = SendError::BadLabel { len: 1_025, max: 1_024 };
    assert_eq!(server.subscribe_with(conn, "room:a", None, Some(&long)), Err(error));
    assert_eq!(server.presence("room:a"), Ok(Vec::new()));
    assert_eq!(server.stats().subscriptions, 0);
}

/// A hundred who come and go at once are a few messages to each member.
#[test]
fn many_changes_are_few_messages() {
    let server = start(&[PRESENCE]);
    let (mut ann, _) = join(&server, "Ann");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann"]);
    let others: Vec<_> = (0..100).map(|i| join(&server, &format!("{i:03}"))).collect();
    while page.people.len() < 101 {
        page.hear(&mut ann);
    }
    drop(others);
    page.sees(&mut ann, &["Ann"]);
    assert!(page.heard < 50, "{}", page.heard);
}

#[test]
fn who_comes_and_goes_within_a_moment_was_never_there() {
    let server = start(&[PRESENCE]);
    let (mut ann, _) = join(&server, "Ann");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann"]);
    let (_bob, conn) = open(&server);
    for _ in 0..100 {
        server.subscribe_with(conn, "room:a", None, Some("Bob")).unwrap();
        server.unsubscribe(conn, "room:a").unwrap();
    }
    server.subscribe_with(conn, "room:a", None, Some("Robert")).unwrap();
    page.sees(&mut ann, &["Ann", "Robert"]);
    assert!(page.heard < 10, "{}", page.heard);
}

/// A client that has been there for long and one that comes with history and presence both hear all in its order.
#[test]
fn what_was_missed_comes_before_who_is_there() {
    let server = start(&[PRESENCE, ("history", "room:=5/60")]);
    server.publish(Kind::Text, "room:a", b"missed", &[]).unwrap();
    let (mut client, conn) = open(&server);
    server.subscribe_with(conn, "room:a", Some(""), Some("Ann")).unwrap();
    assert_eq!(receive_envelope(&mut client).0["replay"], 1);
    assert_eq!(receive_envelope(&mut client).1, b"missed");
    assert_eq!(receive_envelope(&mut client).0["present"][0]["label"], "Ann");
}

#[test]
fn a_node_that_stops_takes_its_people_with_it() {
    let redis = Redis::start("presence-stop", &[]);
    let (here, there) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, _) = join(&here, "Ann");
    let (_bob, _) = join(&there, "Bob");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann", "Bob"]);
    let stopped = Instant::now();
    there.stop(None);
    page.sees(&mut ann, &["Ann"]);
    assert!(stopped.elapsed() < Duration::from_secs(5), "it has said so: {:?}", stopped.elapsed());
}

/// While Redis is away others are believed for a while. When it is back, all is as it should be.
#[test]
fn what_changes_while_redis_is_away_is_told_afterwards() {
    let mut redis = Redis::start("presence-gone", &[]);
    let (here, there) = (node(&redis, &[]), node(&redis, &[]));
    let (mut ann, _) = join(&here, "Ann");
    let (bob, _) = join(&there, "Bob");
    let (_carl, _) = join(&there, "Carl");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann", "Bob", "Carl"]);
    redis.kill();
    for node in [&here, &there] {
        assert!(matches!(poll(node), Seen::Backplane { up: false, .. }));
    }
    drop(bob);
    assert!(matches!(poll(&there), Seen::Close { .. }));
    let (_dora, _) = join(&there, "Dora");
    assert_eq!(labels(&here), ["Ann", "Bob", "Carl"]);
    redis.restart();
    page.sees(&mut ann, &["Ann", "Carl", "Dora"]);
    eventually("all is right", || labels(&here) == labels(&there));
}

#[test]
fn words_that_make_no_sense_are_ignored() {
    let redis = Redis::start("presence-words", &[]);
    let here = node(&redis, &[]);
    let (mut ann, _) = join(&here, "Ann");
    let mut page = Page::default();
    page.sees(&mut ann, &["Ann"]);
    let mut other = pusher(&redis.socket());
    let mut say = |text: &str| {
        let text = text.replace("NODE", &"5f".repeat(16));
        other.publish("wse:default:nodes:topic:room:a", format!("\x01{text}\n").as_bytes())
    };
    eventually("it is heard", || say("{\"node\":\"NODE\",\"presence\":\"alive\"}") == ":1");
    for nonsense in [
        "{\"presence\":\"alive\"}",
        "{\"node\":\"somebody\",\"presence\":\"alive\"}",
        "{\"node\":\"NODE\",\"presence\":\"dead\"}",
        "{\"node\":\"NODE\",\"presence\":{\"here\":{\"topic\":\"room:a\"}}}",
        "{\"node\":\"NODE\",\"presence\":{\"here\":{\"topic\":\"room:a\",\"people\":[[-1,\"Eve\"]]}}}",
        "{\"node\":\"NODE\",\"presence\":{\"who\":{\"topic\":7}}}",
    ] {
        assert_eq!(say(nonsense), ":1");
    }
    // These are understood, but say nothing of anybody here.
    for idle in [
        "{\"node\":\"NODE\",\"presence\":{\"here\":{\"topic\":\"room:b\",\"people\":[[1,\"Eve\"]]}}}",
        "{\"node\":\"NODE\",\"presence\":{\"changed\":{\"topic\":\"room:a\",\"joined\":[[1,\"\"]],\"left\":[2]}}}",
        "{\"node\":\"NODE\",\"presence\":\"bye\"}",
    ] {
        assert_eq!(say(idle), ":1");
    }
    eventually("all are counted", || here.stats().backplane_ignored == 6);
    assert_eq!(labels(&here), ["Ann"]);
    let people = here.presence("room:b").unwrap();
    assert_eq!(people, Vec::new());
}
