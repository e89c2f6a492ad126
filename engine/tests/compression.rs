//! permessage-deflate over sockets, seen by a client that compresses with flate2 alone.

mod common;

use common::*;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::cell::{Cell, RefCell};
use std::io::Read;
use std::time::{Duration, Instant};
use wsengine::{Kind, SendError, Server};

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const COMPRESSED_TEXT: u8 = 0xc1;

/// A client that has agreed on compression.
struct Deflating {
    raw: Raw,
    answer: String,
    deflate: Compress,
    inflate: Decompress,
}

impl Deflating {
    fn open(server: &Server, offer: &str) -> Self {
        let mut raw = Raw::connect(server);
        let offer = format!("\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n");
        raw.send(handshake("/").replacen("\r\n\r\n", &offer, 1).as_bytes());
        let head = raw.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let line = head.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        Deflating {
            raw,
            answer: line.unwrap_or_default().to_owned(),
            deflate: Compress::new(Compression::new(6), false),
            inflate: Decompress::new(false),
        }
    }

    fn send(&mut self, text: &str) {
        let mut payload = Vec::with_capacity(text.len() + 100);
        self.deflate.compress_vec(text.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
        assert!(payload.ends_with(&TAIL), "room for all");
        payload.truncate(payload.len() - TAIL.len());
        self.raw.send(&frame(COMPRESSED_TEXT, &payload));
    }

    /// The next message, and its bytes on the wire; `in_context` if it may refer to those before.
    fn read(&mut self, in_context: bool) -> (String, usize) {
        let (first, mut payload) = self.raw.read_frame();
        let wire = payload.len();
        if first & 0x40 == 0 {
            assert_eq!(first, 0x81);
            return (String::from_utf8(payload).unwrap(), wire);
        }
        assert_eq!(first, COMPRESSED_TEXT);
        if !in_context {
            self.inflate.reset(false);
        }
        payload.extend(TAIL);
        let mut text = Vec::with_capacity(4 << 20);
        self.inflate.decompress_vec(&payload, &mut text, FlushDecompress::Sync).unwrap();
        (String::from_utf8(text).unwrap(), wire)
    }
}

fn words(number: usize) -> String {
    format!("{{\"number\":{number},\"text\":\"{}\"}}", "some words that repeat ".repeat(30))
}

fn host(mode: &str, more: &[(&str, &str)]) -> Host {
    Host::echo(&[&[("compression", mode)], more].concat())
}

#[test]
fn messages_are_compressed_by_themselves() {
    let host = host("no_context_takeover", &[]);
    let mut client = Deflating::open(&host.server, "permessage-deflate; client_max_window_bits");
    assert_eq!(client.answer, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    for number in 0..3 {
        client.deflate.reset();
        client.send(&words(number));
        let (text, wire) = client.read(false);
        assert_eq!(text, words(number));
        assert!(wire < 120, "{wire} bytes for {}", text.len());
    }
}

#[test]
fn messages_refer_to_earlier_ones_where_that_is_agreed() {
    let host = host("context_takeover", &[("compression_threshold_bytes", "0")]);
    let mut client = Deflating::open(&host.server, "permessage-deflate");
    assert_eq!(client.answer, "permessage-deflate");
    let mut echo = |number| {
        client.send(&words(number));
        let (text, wire) = client.read(true);
        assert_eq!(text, words(number));
        wire
    };
    let first = echo(0);
    // The compressor is made beside the I/O thread, and the first message that it has refers to none.
    let begin = Instant::now();
    while echo(1) * 2 > first {
        assert!(begin.elapsed() < Duration::from_secs(20), "no message refers to one before it");
    }
    assert!(echo(2) * 2 < first);
}

/// A message that is compressed for all moves the windows of the peers, but not those of our compressors.
#[test]
fn messages_to_one_to_a_topic_and_to_all_mix_in_every_mode() {
    for mode in ["no_context_takeover", "context_takeover"] {
        let server = start(&[("compression", mode)]);
        let offers = [
            "permessage-deflate",
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover",
        ];
        let mut clients: Vec<_> = offers.map(|offer| Deflating::open(&server, offer)).into();
        let ids: Vec<_> = clients.iter().map(|_| poll_open(&server)).collect();
        ids.iter().for_each(|id| assert_eq!(server.subscribe(*id, "words"), Ok(true)));
        for round in 0..10 {
            for (index, id) in ids.iter().enumerate() {
                server.send(*id, Kind::Text, words(round * 100 + index).as_bytes()).unwrap();
            }
            assert_eq!(server.broadcast(Kind::Text, words(round).as_bytes(), &[]), Ok(ids.len()));
            assert_eq!(server.broadcast(Kind::Text, b"short", &[]), Ok(ids.len()));
            let topical = words(round + 50);
            assert_eq!(server.publish(Kind::Text, "words", topical.as_bytes(), &[]), Ok(ids.len()));
        }
        for client in &mut clients {
            let in_context = !client.answer.contains("server_no_context_takeover");
            let mut texts: Vec<String> = Vec::new();
            for _ in 0..40 {
                texts.push(client.read(in_context).0);
            }
            for round in 0..10 {
                let [single, broadcast, short, topical] = &texts[round * 4..][..4] else { unreachable!() };
                assert!(single.contains(&format!("\"number\":{}", round * 100)[..9]), "{mode}");
                assert_eq!((broadcast, short.as_str()), (&words(round), "short"), "{mode} {}", client.answer);
                assert_eq!(topical, &words(round + 50), "{mode} {}", client.answer);
            }
        }
    }
}

#[test]
fn a_window_of_256_bytes_is_kept_to() {
    let host = host("no_context_takeover", &[("compression_threshold_bytes", "0")]);
    let mut client = Deflating::open(&host.server, "permessage-deflate; server_max_window_bits=8");
    assert!(client.answer.contains("server_max_window_bits=8"), "{}", client.answer);
    for len in [200, 256, 257, 5_000] {
        client.raw.send(&frame(0x81, &"abcdefgh".repeat(700).as_bytes()[..len]));
        let (text, wire) = client.read(false);
        assert_eq!(text.len(), len);
        assert_eq!(wire < len, len <= 256, "longer ones cannot be compressed within such a window");
    }
}

/// What repeats is said once where the first is in the window, and twice where it is not.
#[test]
fn a_smaller_window_is_agreed_on_and_kept_to() {
    let host = |bits| {
        host("context_takeover", &[("compression_threshold_bytes", "0"), ("compression_window_bits", bits)])
    };
    let hosts = [host("10"), host("15")];
    let offer = "permessage-deflate; client_max_window_bits";
    let [mut small, mut large] = hosts.each_ref().map(|host| Deflating::open(&host.server, offer));
    assert_eq!(small.answer, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10");
    assert_eq!(large.answer, "permessage-deflate");
    small.inflate = Decompress::new_with_window_bits(false, 10);
    let mut number = 1_u32;
    for (len, is_seen) in [(700, true), (3_000, false), (700, true)] {
        // Half a byte of news for each digit.
        let digits = std::iter::repeat_with(|| {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_digit(number >> 28, 16).unwrap()
        });
        let once = digits.take(len).collect::<String>();
        for (client, is_seen) in [(&mut small, is_seen), (&mut large, true)] {
            client.raw.send(&frame(0x81, once.repeat(2).as_bytes()));
            let (text, wire) = client.read(true);
            assert_eq!(text, once.repeat(2));
            assert_eq!(wire < len * 3 / 4, is_seen, "{wire} bytes for twice {len}: {}", client.answer);
        }
    }
}

#[test]
fn a_message_below_the_threshold_goes_as_it_is() {
    let host = host("no_context_takeover", &[("compression_threshold_bytes", "100")]);
    let mut client = Deflating::open(&host.server, "permessage-deflate");
    for (len, compressed) in [(0, false), (99, false), (100, true)] {
        client.raw.send(&frame(0x81, "a".repeat(len).as_bytes()));
        let (text, wire) = client.read(false);
        assert_eq!((text.len(), wire < len), (len, compressed));
    }
}

#[test]
fn what_cannot_be_compressed_goes_as_it_is() {
    let server = start(&[("compression", "no_context_takeover"), ("compression_threshold_bytes", "1")]);
    let mut client = Deflating::open(&server, "permessage-deflate");
    let conn = poll_open(&server);
    let text = words(1);
    for _ in 0..2 {
        server.send(conn, Kind::Text, text.as_bytes()).unwrap();
        assert_eq!(client.read(false).0, text);
        server.send(conn, Kind::Text, b"q").unwrap();
        assert_eq!(client.read(false), ("q".to_owned(), 1));
    }
}

#[test]
fn a_threshold_of_0_compresses_all() {
    let server = start(&[("compression", "context_takeover"), ("compression_threshold_bytes", "0")]);
    let mut client = Deflating::open(&server, "permessage-deflate");
    let conn = poll_open(&server);
    for text in ["", "q", "", "", "q"] {
        server.send(conn, Kind::Text, text.as_bytes()).unwrap();
        let (read, wire) = client.read(true);
        assert_eq!(read, text);
        assert!(wire > text.len(), "{wire} bytes for {text:?}");
    }
}

#[test]
fn nothing_refers_to_a_message_that_may_be_dropped() {
    let server = start(&[("compression", "context_takeover"), ("slow_consumer", "drop_oldest")]);
    let client = Deflating::open(&server, "permessage-deflate");
    assert_eq!(client.answer, "permessage-deflate; server_no_context_takeover");
}

#[test]
fn nothing_is_agreed_on_without_the_option_or_the_offer() {
    let off = start(&[]);
    assert_eq!(Deflating::open(&off, "permessage-deflate").answer, "");
    let on = start(&[("compression", "context_takeover")]);
    assert_eq!(Deflating::open(&on, "x-webkit-deflate-frame").answer, "");
}

/// A kilobyte on the wire may be a megabyte in memory: a thousand in a row must not keep the others waiting.
#[test]
fn a_flood_of_bombs_within_the_limit_delays_nobody() {
    let host = Host::run(
        &[("compression", "no_context_takeover"), ("io_threads", "1"), ("event_queue_bytes", "16777216")],
        |server, event| {
            if let Seen::Message { conn, data, .. } = event
                && data.len() < 100
            {
                let _ = server.send(*conn, Kind::Text, data);
            }
        },
    );
    let mut bomber = Deflating::open(&host.server, "permessage-deflate");
    let mut other = Raw::open(&host.server);
    let bomb = "0".repeat(1 << 20);
    let mut payload = Vec::with_capacity(1 << 20);
    bomber.deflate.compress_vec(bomb.as_bytes(), &mut payload, FlushCompress::Sync).unwrap();
    payload.truncate(payload.len() - TAIL.len());
    let bombs = frame(COMPRESSED_TEXT, &payload).repeat(400);
    let mut writer = bomber.raw.0.try_clone().unwrap();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &bombs).is_ok());
    let mut worst = Duration::ZERO;
    for _ in 0..50 {
        let begin = std::time::Instant::now();
        other.send(&frame(0x89, b"?"));
        assert_eq!(other.read_frame(), (0x8a, b"?".to_vec()));
        worst = worst.max(begin.elapsed());
    }
    assert!(writing.join().unwrap());
    // A bar for the worst case of a debug build on a busy machine: without turns it is ten times as long.
    assert!(worst < Duration::from_secs(2), "{worst:?}");
}

/// While somebody is there who says little, the answers to one that sends much are compressed in turns.
#[test]
fn what_is_sent_while_a_large_answer_is_compressed_comes_after_it() {
    const LARGE: usize = 80_000;
    const ROUNDS: usize = 40;
    let options = [("compression", "context_takeover"), ("io_threads", "1")];
    let host = Host::run(&options, |server, event| {
        let Seen::Message { conn, data, .. } = event else { return };
        server.send(*conn, Kind::Text, data).unwrap();
        // So the answer is in a batch of its own, most likely.
        let soon = || std::thread::sleep(Duration::from_millis(1));
        match data.first() {
            Some(b'1') => {
                soon();
                server.send(*conn, Kind::Text, b"short").unwrap();
            }
            Some(b'2') => {
                soon();
                server.broadcast(Kind::Text, words(0).as_bytes(), &[]).unwrap();
            }
            Some(b'3') => {
                soon();
                server.close(*conn, 1000, "").unwrap();
            }
            _ => {}
        }
    });
    let mut other = Raw::open(&host.server);
    // Until it is known that it says little.
    for _ in 0..3 {
        other.send(&frame(0x81, b"little"));
        std::thread::sleep(Duration::from_millis(60));
    }
    let mut client = Deflating::open(&host.server, "permessage-deflate");
    let text = |round: usize| {
        let kind = if round == ROUNDS { 3 } else { round % 3 };
        let numbers = (round * 7..).map(|number| format!("{kind}{number}"));
        let mut text: String = numbers.take(LARGE / 4).collect();
        text.truncate(LARGE);
        text
    };
    for round in 0..=ROUNDS {
        other.send(&frame(0x81, b"little"));
        let sent = text(round);
        client.send(&sent);
        assert!(client.read(true).0 == sent, "round {round}");
        match round % 3 {
            _ if round == ROUNDS => {}
            1 => assert_eq!(client.read(true).0, "short"),
            2 => assert_eq!(client.read(true).0, words(0)),
            _ => {}
        }
    }
    assert_eq!(client.raw.read_frame(), (0x88, vec![0x03, 0xe8]));
}

/// Many small ones take as long as a large one: the last of a batch wait for turns of their peers, too.
#[test]
fn answers_to_many_who_send_much_come_whole_and_in_order() {
    const MANY: usize = 30;
    let (conns, round) = (RefCell::new(Vec::new()), Cell::new(0));
    let host =
        Host::run(&[("compression", "context_takeover"), ("io_threads", "1")], move |server, event| {
            let Seen::Message { conn, data, .. } = event else { return };
            let mut conns = conns.borrow_mut();
            match data.len() {
                // Of the one that says little.
                6 => {
                    round.set(round.get() + 1);
                    for (number, conn) in conns.iter().enumerate() {
                        server.send(*conn, Kind::Text, words(100 * round.get() + number).as_bytes()).unwrap();
                    }
                }
                // The last one gets nothing after its answer.
                5 => server.close(conns[MANY - 1], 1000, "").unwrap(),
                _ => {
                    conns.push(*conn);
                    server.send(*conn, Kind::Text, b"known").unwrap();
                }
            }
        });
    let mut other = Raw::open(&host.server);
    let mut clients: Vec<_> = (0..MANY)
        .map(|_| {
            let mut client = Deflating::open(&host.server, "permessage-deflate");
            // It is one that sends much from now on.
            client.send(&(0..15_000).map(|number| format!("{number}")).collect::<String>());
            assert_eq!(client.read(true).0, "known");
            client
        })
        .collect();
    for round in 1..=10 {
        // Known to say little, after a while.
        other.send(&frame(0x81, b"little"));
        if round == 10 {
            other.send(&frame(0x81, b"close"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.read(true).0, words(100 * round + number), "round {round}");
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(clients[MANY - 1].raw.read_frame(), (0x88, vec![0x03, 0xe8]));
}

/// What waits to be compressed is in no outbox yet, and in the mailbox no more. And it is gone with its connection.
#[test]
fn a_large_answer_that_is_not_compressed_yet_counts_for_the_queue() {
    const ROUNDS: usize = 5;
    let options = [("compression", "context_takeover"), ("io_threads", "1"), ("send_queue_messages", "1")];
    let (told, early) = std::sync::mpsc::channel();
    let large = words(0).repeat(400);
    let host = Host::run(&options, move |server, event| {
        let Seen::Message { conn, data, .. } = event else { return };
        match data.first() {
            Some(b'm') => {}
            Some(b'l') if data.len() > 1000 => {
                server.send(*conn, Kind::Text, large.as_bytes()).unwrap();
                return server.abort(*conn).unwrap();
            }
            _ => return,
        }
        let sent = || server.stats().messages_out;
        let before = sent();
        for message in [large.as_bytes(), b"next"] {
            while server.send(*conn, Kind::Text, message) == Err(SendError::QueueFull) {
                std::thread::yield_now();
            }
        }
        told.send(sent() == before).unwrap();
    });
    let mut other = Raw::open(&host.server);
    for _ in 0..3 {
        other.send(&frame(0x81, b"little"));
        std::thread::sleep(Duration::from_millis(60));
    }
    let mut client = Deflating::open(&host.server, "permessage-deflate");
    for round in 0..ROUNDS {
        other.send(&frame(0x81, b"little"));
        client.send(&"much".repeat(20_000));
        assert!(!early.recv().unwrap(), "round {round}");
        client.read(true);
        assert_eq!(client.read(true).0, "next");
    }
    client.send(&"last".repeat(20_000));
    // Whether it had time to be sent or not.
    let _ = client.raw.0.read_to_end(&mut Vec::new());
    assert_eq!(host.server.stats().queued_bytes, 0);
}

#[test]
fn a_bomb_of_ten_megabytes_ends_with_1009() {
    let host = host("context_takeover", &[]);
    let mut client = Deflating::open(&host.server, "permessage-deflate");
    let mut payload = Vec::with_capacity(1 << 20);
    client.deflate.compress_vec(&vec![0; 10 << 20], &mut payload, FlushCompress::Sync).unwrap();
    assert!(payload.len() < 16 << 10, "{} bytes", payload.len());
    client.raw.send(&frame(0xc2, &payload[..payload.len() - TAIL.len()]));
    let (first, close) = client.raw.read_frame();
    assert_eq!((first, u16::from_be_bytes([close[0], close[1]])), (0x88, 1009));
}
