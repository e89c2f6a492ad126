//! Pushes from other processes, in the words of Redis: what is said on the wire, and whom it reaches.

mod common;

use common::redis::{Pusher, pusher};
use common::{Raw, eventually, poll_open, start};
use std::io::BufReader;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use wsengine::{Config, ConnId, Kind, Server};

fn socket_path(name: &str) -> String {
    std::env::temp_dir()
        .join(format!("wsengine-push-{name}-{}.sock", std::process::id()))
        .display()
        .to_string()
}

fn serve(name: &str, options: &[(&str, &str)]) -> (Server, String) {
    let path = socket_path(name);
    let listen = format!("unix:{path}");
    (start(&[&[("push_listen", listen.as_str())], options].concat()), path)
}

fn open(server: &Server) -> (Raw, ConnId) {
    let raw = Raw::open(server);
    (raw, poll_open(server))
}

#[test]
fn a_push_reaches_all_a_topic_or_one() {
    let (server, path) = serve("whom", &[("app", "shop"), ("io_threads", "2")]);
    let mut clients: Vec<_> = (0..3).map(|_| open(&server)).collect();
    server.subscribe(clients[0].1, "lobby: 1").unwrap();
    server.subscribe(clients[1].1, "lobby: 1").unwrap();
    let one = clients[2].1.as_u64();

    let mut pusher = pusher(&path);
    assert_eq!(pusher.publish("wse:shop:all", b"all"), ":3");
    assert_eq!(pusher.publish("wse:shop:topic:lobby: 1", "grüße".as_bytes()), ":2");
    assert_eq!(pusher.publish(&format!("wse:shop:conn:{one}"), b"\xff\x00"), ":1");
    let except = format!("\x01{{\"op\":\"binary\",\"except\":[\"{}\"]}}\nlast", clients[1].1.as_u64());
    assert_eq!(pusher.publish("wse:shop:topic:lobby: 1", except.as_bytes()), ":1");
    assert_eq!(pusher.publish("wse:shop:topic:nobody", b"x"), ":0");
    assert_eq!(pusher.publish("wse:shop:conn:99999", b"x"), ":0");

    let text = |text: &str| (0x81, text.as_bytes().to_vec());
    let seen: Vec<Vec<_>> = clients
        .iter_mut()
        .zip([3, 2, 2])
        .map(|((raw, _), count)| (0..count).map(|_| raw.read_frame()).collect())
        .collect();
    assert_eq!(seen[0], [text("all"), text("grüße"), (0x82, b"last".to_vec())]);
    assert_eq!(seen[1], [text("all"), text("grüße")]);
    assert_eq!(seen[2], [text("all"), (0x82, vec![0xff, 0])]);
}

#[test]
fn a_push_may_be_for_some_alone() {
    let (server, path) = serve("some", &[]);
    let mut clients: Vec<_> = (0..3).map(|_| open(&server)).collect();
    let [one, two, three] = [0, 1, 2].map(|n: usize| clients[n].1.as_u64());
    server.subscribe(clients[0].1, "lobby").unwrap();
    server.subscribe(clients[1].1, "lobby").unwrap();
    let mut pusher = pusher(&path);
    let to = |who: &str, more: &str, text: &str| format!("\x01{{\"to\":[{who}]{more}}}\n{text}");
    let all = format!("{one},\"{three}\",99999,{one}");
    assert_eq!(pusher.publish("wse:default:all", to(&all, "", "two of all").as_bytes()), ":2");
    assert_eq!(pusher.publish("wse:default:topic:lobby", to(&all, "", "a member").as_bytes()), ":1");
    let except = format!(",\"except\":[{two}]");
    let both = format!("{one},{two}");
    assert_eq!(pusher.publish("wse:default:topic:lobby", to(&both, &except, "the other").as_bytes()), ":1");
    assert_eq!(pusher.publish("wse:default:all", to("", "", "nobody").as_bytes()), ":0");
    assert_eq!(pusher.publish(&format!("wse:default:conn:{one}"), to(&both, "", "him").as_bytes()), ":1");
    server.broadcast(Kind::Text, b"end", &[]).unwrap();
    let texts = |raw: &mut Raw, count| {
        (0..count).map(|_| String::from_utf8(raw.read_frame().1).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&mut clients[0].0, 5), ["two of all", "a member", "the other", "him", "end"]);
    assert_eq!(texts(&mut clients[1].0, 1), ["end"]);
    assert_eq!(texts(&mut clients[2].0, 2), ["two of all", "end"]);
}

/// Who has got no answer says it again.
#[test]
fn what_comes_again_with_its_id_is_not_delivered_again() {
    let (server, path) = serve("again", &[]);
    let mut client = open(&server);
    let said = b"\x01{\"id\":\"order 17\"}\norder 17";
    for _ in 0..3 {
        assert_eq!(pusher(&path).publish("wse:default:all", said), ":1");
    }
    assert_eq!(pusher(&path).publish("wse:default:all", b"\x01{\"id\":\"order 18\"}\norder 18"), ":1");
    assert_eq!(client.0.read_frame().1, b"order 17");
    assert_eq!(client.0.read_frame().1, b"order 18");
}

#[test]
fn what_cannot_be_pushed_gets_an_error_and_the_next_command_is_heard() {
    let (_server, path) = serve("errors", &[("send_queue_bytes", "100000")]);
    let mut pusher = pusher(&path);
    for (words, said) in [
        (
            &[&b"PUBLISH"[..], b"news", b"x"][..],
            "-ERR channel \"news\" means nobody; a channel is wse:default:all",
        ),
        (&[b"PUBLISH", b"wse:other:all", b"x"], "-ERR channel \"wse:other:all\" means nobody"),
        (&[b"PUBLISH", b"wse:default:all"], "-ERR wrong number of arguments for 'PUBLISH'"),
        (&[b"PUBLISH", b"wse:default:all", b"\x01{}"], "-ERR the payload begins with the byte 1"),
        (&[b"PUBLISH", b"wse:default:all", &[b'x'; 100_001]], "-ERR a message of 100001 bytes"),
        (&[b"publish", b"wse:default:all", b"\x01{\"op\":\"text\"}\n\xff"], "-ERR "),
        (&[b"GET", b"x\r\n+OK"], "-NOPERM no 'GET' here"),
        (&[b"AUTH", b"secret"], "-ERR there is no password"),
        (&[b"PING"], "+PONG"),
        (&[b"ping", b"hello"], "$5"),
    ] {
        let answer = pusher.say(words);
        assert!(answer.starts_with(said), "{answer}");
    }
    assert_eq!(pusher.answer(), "hello");
    assert_eq!(pusher.say(&[b"QUIT"]), "+OK");
    assert!(pusher.is_at_end());
}

#[test]
fn commands_come_as_lines_too_and_many_at_once() {
    let (server, path) = serve("lines", &[]);
    let (mut raw, _) = open(&server);
    let mut pusher = pusher(&path);
    let many = 1_000;
    let commands: String = (0..many).map(|i| format!("PUBLISH wse:default:all \"n {i}\"\r\n")).collect();
    pusher.write(format!("PING\r\n\r\n{commands}").as_bytes());
    assert_eq!(pusher.answer(), "+PONG");
    for i in 0..many {
        assert_eq!(pusher.answer(), ":1");
        assert_eq!(raw.read_frame(), (0x81, format!("n {i}").into_bytes()));
    }
    // What is broken is named, and the end: nobody knows where the next command would begin.
    pusher.write(b"*1\r\n$x\r\n");
    assert_eq!(pusher.answer(), "-ERR protocol error: a length that is no number");
    assert!(pusher.is_at_end());
}

#[test]
fn a_port_needs_a_password_and_whoever_does_not_know_it_is_nobody() {
    let mut config = Config::new();
    config.set("listen", "127.0.0.1:0").unwrap();
    config.set("push_listen", "127.0.0.1:0").unwrap();
    let error = Server::start(&config).unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:0 needs the option \"push_password\""), "{error}");

    config.set("push_password", "open sesame").unwrap();
    let server = Server::start(&config).unwrap();
    let connect = || {
        let stream = TcpStream::connect(&server.push_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Pusher(BufReader::new(stream))
    };
    let mut stranger = connect();
    assert_eq!(stranger.publish("wse:default:all", b"x"), "-NOAUTH say AUTH and the password first");
    assert!(stranger.say(&[b"AUTH", b"open sesam"]).starts_with("-WRONGPASS"));
    assert!(stranger.is_at_end(), "who guesses has to come again");
    assert!(connect().say(&[b"AUTH", b"root", b"open sesame"]).starts_with("-WRONGPASS"));
    let mut stranger = connect();
    stranger.write(b"*2\r\n$4\r\nAUTH\r\n$1000000\r\n");
    assert_eq!(stranger.answer(), "-ERR protocol error: a command that is too long");
    assert!(stranger.is_at_end());
    let mut stranger = connect();
    stranger.write(&b"PING\n".repeat(1_000));
    for _ in 0..16 {
        assert_eq!(stranger.answer(), "-NOAUTH say AUTH and the password first");
    }
    assert!(stranger.is_at_end(), "strangers are not listened to for long");

    for password in [&[&b"AUTH"[..], b"open sesame"][..], &[b"AUTH", b"default", b"open sesame"]] {
        let mut known = connect();
        assert_eq!(known.say(password), "+OK");
        assert_eq!(known.publish("wse:default:all", b"x"), ":0");
    }
}

#[test]
fn strangers_keep_nobody_out_who_knows_the_password() {
    let server = start(&[("push_listen", "127.0.0.1:0"), ("push_password", "open sesame")]);
    let connect = || {
        let stream = TcpStream::connect(&server.push_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Pusher(BufReader::new(stream))
    };
    let mut known = connect();
    assert_eq!(known.say(&[b"AUTH", b"open sesame"]), "+OK");
    let mut silent: Vec<_> = (0..65).map(|_| connect()).collect();
    assert!(silent[0].is_at_end(), "the oldest has to go for the last one");
    assert_eq!(known.publish("wse:default:all", b"x"), ":0");
    for turn in 1..10 {
        let mut late = connect();
        assert_eq!(late.say(&[b"AUTH", b"open sesame"]), "+OK");
        assert!(silent[turn].is_at_end(), "another one for this one");
        assert_eq!(late.publish("wse:default:all", b"x"), ":0");
        silent.push(connect());
        drop(late);
    }
    assert!(silent.last_mut().unwrap().is_at_end(), "after ten seconds");
}

#[test]
fn a_password_is_never_told() {
    let mut config = Config::new();
    let error = config.set("push_password", &"secret".repeat(100)).unwrap_err().to_string();
    assert_eq!(
        error,
        "option \"push_password\": the value is not allowed; allowed is 1 to 512 bytes, or none"
    );
    config.set("push_password", "open sesame").unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("push_password") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_server() {
    let (server, path) = serve("owner", &[]);
    assert_eq!(server.push_addresses(), [format!("unix:{path}")]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut pusher = pusher(&path);
    assert_eq!(pusher.say(&[b"PING"]), "+PONG");
    server.stop(Some(Duration::ZERO));
    assert!(pusher.is_at_end());
    eventually("the name is gone", || !std::path::Path::new(&path).exists());
}

#[test]
fn half_a_command_is_not_waited_for_for_ever() {
    let (_server, path) = serve("half", &[]);
    let mut silent = pusher(&path);
    let mut half = pusher(&path);
    half.write(b"*3\r\n$7\r\nPUBLISH\r\n");
    assert!(half.is_at_end(), "after ten seconds");
    assert_eq!(silent.say(&[b"PING"]), "+PONG", "who has begun nothing may take its time");
}
