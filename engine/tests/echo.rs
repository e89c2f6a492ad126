//! Messages there and back, through clients by tungstenite.

mod common;

use common::{Host, Raw, Seen, connect, eventually, frame, receive};
use tokio_tungstenite::tungstenite::Message;

#[test]
fn text_and_binary_of_every_size_come_back() {
    let host = Host::echo(&[("max_message_bytes", "16777216"), ("send_queue_bytes", "33554432")]);
    let mut client = connect(&host.server);
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000, 1 << 20, 16 << 20] {
        let text = "ü".repeat(len / 2);
        client.send(Message::text(text.clone())).unwrap();
        assert_eq!(receive(&mut client), Message::text(text), "{len} bytes of text");
        let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        client.send(Message::binary(bytes.clone())).unwrap();
        assert_eq!(receive(&mut client), Message::binary(bytes), "{len} bytes");
    }
}

#[test]
fn a_thousand_messages_in_flight_keep_their_order() {
    let host = Host::echo(&[]);
    let mut client = connect(&host.server);
    for round in 0..5 {
        for i in 0..1_000 {
            client.write(Message::text(format!("{round} {i}"))).unwrap();
        }
        client.flush().unwrap();
        for i in 0..1_000 {
            assert_eq!(receive(&mut client), Message::text(format!("{round} {i}")));
        }
    }
}

#[test]
fn many_clients_on_several_threads_each_get_their_own() {
    let host = Host::echo(&[("io_threads", "3")]);
    let mut clients: Vec<_> = (0..60).map(|_| connect(&host.server)).collect();
    for round in 0..20 {
        for (i, client) in clients.iter_mut().enumerate() {
            client.send(Message::text(format!("{i} {round}"))).unwrap();
        }
        for (i, client) in clients.iter_mut().enumerate() {
            assert_eq!(receive(client), Message::text(format!("{i} {round}")));
        }
    }
    assert_eq!(host.server.stats().connections, 60);
    assert_eq!(host.server.stats().messages_in, 1_200);
    eventually("the last one is counted", || host.server.stats().messages_out == 1_200);
}

#[test]
fn events_of_a_connection_come_in_order_and_none_is_lost() {
    let host = Host::echo(&[]);
    let mut client = common::try_connect(&host.server, "/room?id=7").unwrap();
    client.send(Message::text("one")).unwrap();
    client.send(Message::binary(vec![2])).unwrap();
    client.close(None).unwrap();
    let Seen::Open { conn, path, query } = host.next() else { panic!("open comes first") };
    assert_eq!((path.as_str(), query.as_str()), ("/room", "id=7"));
    assert_eq!(host.next(), Seen::Message { conn, text: true, data: b"one".into() });
    assert_eq!(host.next(), Seen::Message { conn, text: false, data: [2].into() });
    let close = Seen::Close { conn, code: 1005, reason: String::new(), clean: true };
    assert_eq!(host.next(), close);
    assert!(!host.server.is_open(conn));
}

#[test]
fn what_came_before_a_breach_is_answered_before_the_close() {
    let host = Host::echo(&[]);
    let mut raw = common::Raw::open(&host.server);
    // A sound message, a ping, and a frame with a reserved opcode in one packet.
    let bytes = [common::frame(0x81, b"sound"), common::frame(0x89, b"p"), common::frame(0x83, b"")].concat();
    raw.send(&bytes);
    assert_eq!(raw.read_frame(), (0x81, b"sound".to_vec()));
    assert_eq!(raw.read_frame(), (0x8a, b"p".to_vec()));
    let (first, payload) = raw.read_frame();
    assert_eq!((first, &payload[..2]), (0x88, &1002u16.to_be_bytes()[..]));
    let Seen::Open { conn, .. } = host.next() else { panic!("open comes first") };
    assert!(matches!(host.next(), Seen::Message { .. }));
    assert!(
        matches!(host.next(), Seen::Close { conn: closed, code: 1002, clean: false, .. } if closed == conn)
    );
}

#[test]
fn a_host_that_does_not_poll_holds_up_the_close_for_a_breach_only_shortly() {
    let server = common::start(&[]);
    let mut raw = common::Raw::open(&server);
    raw.send(&[common::frame(0x81, b"sound"), common::frame(0x83, b"")].concat());
    let (first, payload) = raw.read_frame();
    assert_eq!((first, &payload[..2]), (0x88, &1002u16.to_be_bytes()[..]));
    assert_eq!(raw.read_all(), b"");
}

/// A turn that ends between the header of an empty frame and the frame's end: no byte is left that would go on.
#[test]
fn a_message_whose_last_frame_is_empty_comes_at_the_end_of_a_turn_too() {
    let host = Host::echo(&[("io_threads", "1"), ("max_fragments", "10000")]);
    let mut raw = Raw::open(&host.server);
    // Empty fragments as many as fill a turn, or some more or less.
    for fragments in 6_130..6_150 {
        let bytes = [frame(0x01, b""), frame(0x00, b"").repeat(fragments), frame(0x80, b"")].concat();
        raw.send(&bytes);
        assert_eq!(raw.read_frame(), (0x81, Vec::new()), "{fragments}");
    }
}
