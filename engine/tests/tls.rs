//! TLS listeners: clients that verify the certificate, reloading it, and what goes wrong.

mod common;
#[path = "common/tls.rs"]
mod tls;

use common::*;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use tls::{Certificate, Files, tcp_stream, tls_client, tls_connect, tls_stream};
use tokio_tungstenite::tungstenite::{self, Message};
use wsengine::Config;

fn options<'a>(cert: &'a str, key: &'a str) -> [(&'a str, &'a str); 3] {
    [("listen", "tls://127.0.0.1:0,127.0.0.1:0"), ("tls_cert", cert), ("tls_key", key)]
}

fn host(files: &Files, more: &[(&str, &str)]) -> Host {
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    Host::echo(&[&options(&cert, &key)[..], more].concat())
}

#[test]
fn messages_of_all_sizes_come_back() {
    let certificate = Certificate::new();
    let files = Files::new("sizes", &certificate);
    let big = [("max_message_bytes", "20000000"), ("send_queue_bytes", "20000000")];
    let host = host(&files, &big);
    assert!(host.server.addresses()[0].starts_with("tls://127.0.0.1:"));
    let mut client = tls_connect(&host.server.addresses()[0], &certificate);
    for len in [0, 1, 125, 126, 16_383, 16_384, 65_536, 1 << 20, 16 << 20] {
        let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        client.send(Message::binary(data.clone())).unwrap();
        assert!(client.read().unwrap().into_data() == data, "{len} bytes");
    }
    client.close(None).unwrap();
    assert_eq!(client.read().unwrap(), Message::Close(None));
}

#[test]
fn many_small_messages_keep_their_order() {
    let certificate = Certificate::new();
    let files = Files::new("order", &certificate);
    let host = host(&files, &[]);
    let mut client = tls_connect(&host.server.addresses()[0], &certificate);
    for round in 0..20 {
        for number in 0..100 {
            client.write(Message::text(format!("{round}.{number}"))).unwrap();
        }
        client.flush().unwrap();
        for number in 0..100 {
            assert_eq!(client.read().unwrap().into_text().unwrap(), format!("{round}.{number}"));
        }
    }
}

#[test]
fn plain_and_tls_listeners_stand_side_by_side_and_the_request_says_which() {
    let certificate = Certificate::new();
    let files = Files::new("both", &certificate);
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let server = start(&options(&cert, &key));
    let said = Arc::new(Mutex::new(Vec::new()));
    let poll_tls = || {
        let mut poller = server.poller().unwrap();
        assert_eq!(poller.wait(Some(PATIENCE), || false), wsengine::Wait::Events);
        if let wsengine::EventBody::Open(request) = poller.next().unwrap().body {
            said.lock().unwrap().push(request.tls);
        }
    };
    let _over_tls = tls_connect(&server.addresses()[0], &certificate);
    poll_tls();
    let mut plain = TcpStream::connect(&server.addresses()[1]).unwrap();
    plain.write_all(handshake("/").as_bytes()).unwrap();
    poll_tls();
    assert_eq!(*said.lock().unwrap(), [true, false]);
}

#[test]
fn a_reload_is_for_new_connections_and_old_ones_live_on() {
    let (first, second) = (Certificate::new(), Certificate::new());
    let files = Files::new("reload", &first);
    let host = host(&files, &[]);
    let address = host.server.addresses()[0].clone();
    let mut old = tls_connect(&address, &first);
    files.write(&second);
    host.server.tls_reload().unwrap();
    old.send(Message::text("still here")).unwrap();
    assert_eq!(old.read().unwrap(), Message::text("still here"));
    let mut new = tls_connect(&address, &second);
    new.send(Message::text("new")).unwrap();
    assert_eq!(new.read().unwrap(), Message::text("new"));
    assert!(tls_stream(&address, &first).is_err(), "the first certificate is shown no more");
}

#[test]
fn a_reload_that_fails_changes_nothing() {
    let certificate = Certificate::new();
    let files = Files::new("bad-reload", &certificate);
    let host = host(&files, &[]);
    std::fs::write(files.folder().join("key.pem"), Certificate::new().key).unwrap();
    let text = host.server.tls_reload().unwrap_err().to_string();
    assert!(text.contains("does not belong to the certificate"), "{text}");
    let _still = tls_connect(&host.server.addresses()[0], &certificate);
    let plain = start(&[]);
    let text = plain.tls_reload().unwrap_err().to_string();
    assert_eq!(text, "there is no TLS to reload: \"tls_cert\" and \"tls_key\" are not set");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let certificate = Certificate::new();
    let files = Files::new("errors", &certificate);
    std::fs::write(files.folder().join("empty"), "").unwrap();
    std::fs::write(files.folder().join("other"), Certificate::new().key).unwrap();
    let error = |cert: &str, key: &str| {
        let (cert, key) = (files.path(cert), files.path(key));
        match wsengine::Server::start(&config(&options(&cert, &key))) {
            Ok(_) => panic!("{cert} and {key} are not usable"),
            Err(error) => error.to_string().replace(&files.path(""), ""),
        }
    };
    assert_eq!(
        error("none", "key.pem"),
        "option \"tls_cert\": \"none\" cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(error("empty", "key.pem"), "option \"tls_cert\": \"empty\" holds no certificate in PEM form");
    for (text, why) in [
        ("!\n-----END CERTIFICATE-----\n", "\"bad\" is not sound PEM: what stands in it is not Base64"),
        ("AAAA\n", "\"bad\" is not sound PEM: its END line is missing"),
        ("AAAA\n-----END CERTIFICATE-----\n", "what \"bad\" holds is no sound certificate"),
    ] {
        std::fs::write(files.folder().join("bad"), format!("-----BEGIN CERTIFICATE-----\n{text}")).unwrap();
        assert_eq!(error("bad", "key.pem"), format!("option \"tls_cert\": {why}"));
    }
    std::fs::write(
        files.folder().join("bad"),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    )
    .unwrap();
    assert_eq!(
        error("cert.pem", "bad"),
        "option \"tls_key\": the key in \"bad\" is none of RSA (2048 bits or more), ECDSA (P-256, P-384) and Ed25519"
    );
    assert_eq!(
        error("cert.pem", "cert.pem"),
        "option \"tls_key\": \"cert.pem\" holds no private key in PEM form; one with a passphrase cannot be used"
    );
    assert_eq!(
        error("cert.pem", "other"),
        "options \"tls_cert\" and \"tls_key\": the key in \"other\" does not belong to the certificate in \"cert.pem\""
    );

    let mut config = Config::new();
    config.set("listen", "tls://127.0.0.1:0").unwrap();
    assert_eq!(
        wsengine::Server::start(&config).err().unwrap().to_string(),
        "option \"listen\": tls://127.0.0.1:0 needs the options \"tls_cert\" and \"tls_key\""
    );
    config.set("tls_cert", &files.path("cert.pem")).unwrap();
    assert_eq!(
        wsengine::Server::start(&config).err().unwrap().to_string(),
        "option \"tls_cert\" is set and \"tls_key\" is not; TLS needs both"
    );
}

#[test]
fn an_expired_certificate_is_served_with_a_warning() {
    let warned = Arc::new(Mutex::new(Vec::new()));
    let record = warned.clone();
    wsengine::log::set_sink(Some(Box::new(move |level, text| {
        if level == tracing::Level::WARN {
            record.lock().unwrap().push(text.to_owned());
        }
    })));
    let files = Files::new("expired", &Certificate::expired());
    let _host = host(&files, &[]);
    wsengine::log::set_sink(None);
    let warned = warned.lock().unwrap();
    assert!(warned.iter().any(|text| text.contains("has expired on") && text.contains("2002")), "{warned:?}");
}

#[test]
fn who_speaks_no_tls_is_told_so() {
    let certificate = Certificate::new();
    let files = Files::new("plain", &certificate);
    let host = host(&files, &[]);
    let mut plain = TcpStream::connect(host.server.addresses()[0].trim_start_matches("tls://")).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(handshake("/").as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("This port speaks TLS: connect by wss:// or https://.\n"), "{answer}");
}

#[test]
fn a_tls_handshake_has_its_time_too() {
    let certificate = Certificate::new();
    let files = Files::new("slow", &certificate);
    let host = host(&files, &[("handshake_timeout_ms", "200")]);
    let mut silent = TcpStream::connect(host.server.addresses()[0].trim_start_matches("tls://")).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "it is cut");
    let mut begun = TcpStream::connect(host.server.addresses()[0].trim_start_matches("tls://")).unwrap();
    begun.set_read_timeout(Some(PATIENCE)).unwrap();
    begun.write_all(&[0x16, 3, 1, 0, 200]).unwrap();
    assert_eq!(begun.read(&mut [0]).unwrap_or(0), 0, "it is cut");
    eventually("both are counted", || host.server.stats().refused == 2);
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let certificate = Certificate::new();
    let files = Files::new("bytes", &certificate);
    let host = host(&files, &[]);
    let (mut client, mut socket) =
        (tls_client(&certificate, "http/1.1"), tcp_stream(&host.server.addresses()[0]));
    let say = |client: &mut ClientConnection, socket: &mut TcpStream| {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes.iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
    };
    while client.is_handshaking() {
        say(&mut client, &mut socket);
        if client.is_handshaking() {
            client.read_tls(&mut socket).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    say(&mut client, &mut socket);
    let stream = StreamOwned::new(client, socket);
    let mut client = tungstenite::client("wss://localhost/", stream).unwrap().0;
    client.send(Message::text("whole")).unwrap();
    assert_eq!(client.read().unwrap(), Message::text("whole"));
}

#[test]
fn who_cannot_be_agreed_with_is_told_why_and_others_are_served() {
    let certificate = Certificate::new();
    let files = Files::new("alert", &certificate);
    let host = host(&files, &[]);
    let address = &host.server.addresses()[0];
    let mut client = tls_client(&certificate, "h2");
    let refused = client.complete_io(&mut tcp_stream(address)).unwrap_err();
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(refused.downcast::<rustls::Error>().unwrap(), alert);
    // In the middle of it.
    for keep in [1, 5, 6, 100] {
        let mut hello = Vec::new();
        tls_client(&certificate, "http/1.1").write_tls(&mut hello).unwrap();
        tcp_stream(address).write_all(&hello[..keep]).unwrap();
    }
    let mut client = tls_connect(address, &certificate);
    client.send(Message::text("served")).unwrap();
    assert_eq!(client.read().unwrap(), Message::text("served"));
}

#[test]
fn a_peer_that_takes_nothing_is_cut_and_one_that_goes_slowly_is_not() {
    let certificate = Certificate::new();
    let files = Files::new("stall", &certificate);
    let options = [("write_stall_ms", "2000"), ("send_queue_bytes", "8000000")];
    let host = host(&files, &options);
    let address = &host.server.addresses()[0];
    let mut slow = tls_connect(address, &certificate);
    let mut silent = tls_connect(address, &certificate);
    let data = vec![7; 1 << 20];
    for _ in 0..6 {
        slow.send(Message::binary(data.clone())).unwrap();
        silent.send(Message::binary(data.clone())).unwrap();
    }
    let stalled = |seen: &Seen| matches!(seen, Seen::Close { code: 1013, .. });
    let mut received = 0;
    let mut cut = 0;
    while received < 6 {
        std::thread::sleep(std::time::Duration::from_millis(400));
        assert_eq!(slow.read().unwrap().into_data().len(), data.len());
        received += 1;
    }
    while cut == 0 {
        cut += usize::from(stalled(&host.next()));
    }
    slow.send(Message::text("alive")).unwrap();
    assert_eq!(slow.read().unwrap(), Message::text("alive"));
}
