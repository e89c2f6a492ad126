//! Where a server can listen beside TCP, and the PROXY protocol.

mod common;

use common::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use tokio_tungstenite::tungstenite::Message;
use wsengine::{Config, Peer, Server, Wait};

/// A name in the folder for temporary files that goes with the test.
struct Name(PathBuf);

impl Name {
    fn new(name: &str) -> Self {
        Name(std::env::temp_dir().join(format!("wsengine-{name}-{}.sock", std::process::id())))
    }

    fn listen(&self, parameters: &str) -> String {
        format!("unix:{}{parameters}", self.0.display())
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn error(listen: &str) -> String {
    let mut config = Config::new();
    config.set("listen", listen).unwrap();
    match Server::start(&config) {
        Ok(server) => panic!("{listen} works: {:?}", server.addresses()),
        Err(error) => error.to_string(),
    }
}

/// The peer that the next open event tells of.
fn poll_peer(server: &Server) -> Peer {
    let mut poller = server.poller().unwrap();
    assert_eq!(poller.wait(Some(PATIENCE), || false), Wait::Events);
    match poller.next().unwrap().body {
        wsengine::EventBody::Open(request) => request.peer,
        other => panic!("{other:?}"),
    }
}

fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
    let name = Name::new("mode");
    let server = start(&[("listen", &name.listen("?mode=0600"))]);
    assert_eq!(server.addresses(), [name.listen("")]);
    assert_eq!(server.port(), 0);
    assert_eq!(std::fs::metadata(&name.0).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = UnixStream::connect(&name.0).unwrap();
    stream.write_all(handshake("/").as_bytes()).unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 101 "));
    assert_eq!(poll_peer(&server), Peer::Unix);
    stream.write_all(&frame(0x89, b"hi")).unwrap();
    let mut pong = [0; 4];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8a\x02hi");
    drop(server);
    assert!(!name.0.exists());
}

#[test]
fn a_socket_that_was_left_over_is_replaced_and_one_in_use_is_not() {
    let name = Name::new("left");
    drop(UnixListener::bind(&name.0).unwrap());
    assert!(name.0.exists());
    let server = start(&[("listen", &name.listen(""))]);
    let text = error(&name.listen(""));
    assert!(text.contains("address is in use"), "{text}");
    UnixStream::connect(&name.0).unwrap();
    drop(server);
    std::fs::write(&name.0, "a file").unwrap();
    assert!(error(&name.listen("")).contains("in use"));
    assert_eq!(std::fs::read(&name.0).unwrap(), b"a file", "what is no socket is left alone");
}

#[test]
fn owners_that_do_not_exist_are_named() {
    let name = Name::new("owner");
    let text = error(&name.listen("?owner=nobody-of-this-name"));
    assert!(text.ends_with("there is no user \"nobody-of-this-name\""), "{text}");
    let text = error(&name.listen("?group=nobody-of-this-name"));
    assert!(text.ends_with("there is no group \"nobody-of-this-name\""), "{text}");
    assert!(!name.0.exists());
}

#[test]
fn a_descriptor_that_listens_is_used_and_stays_open() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fd = format!("fd:{}", listener.as_raw_fd());
    for _ in 0..2 {
        let server = start(&[("listen", &fd)]);
        assert_eq!(server.addresses(), [address.to_string()]);
        assert_eq!(server.port(), address.port());
        let _client = connect(&server);
        poll_open(&server);
    }
    assert_eq!(listener.local_addr().unwrap(), address);
}

/// As systemd does when it starts another program with the same socket.
#[test]
fn a_descriptor_that_is_made_to_block_keeps_nobody_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = format!("fd:{}", listener.as_raw_fd());
    let host = Host::echo(&[("listen", &fd), ("io_threads", "1")]);
    for _ in 0..3 {
        listener.set_nonblocking(false).unwrap();
        let mut client = connect(&host.server);
        client.send(Message::text("hello")).unwrap();
        assert_eq!(receive(&mut client), Message::text("hello"));
    }
}

#[test]
fn a_descriptor_that_does_not_listen_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let fd = stream.as_raw_fd();
    assert!(error(&format!("fd:{fd}")).ends_with(&format!("descriptor {fd} is no listening socket")));
    assert!(error("fd:1000000").contains("Bad file descriptor"));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(error(&format!("fd:{}", file.as_raw_fd())).contains("socket"));
    assert!(error("systemd").contains("systemd has announced no sockets to this process"));
}

#[test]
fn several_listeners_of_every_kind_serve_at_once() {
    let name = Name::new("several");
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("127.0.0.1:0,[::1]:0,{},fd:{}", name.listen(""), inherited.as_raw_fd());
    let server = start(&[("listen", &listen)]);
    assert_eq!(server.addresses().len(), 4);
    let (mut unix, mut tcp) = (Vec::new(), Vec::new());
    for address in server.addresses() {
        match address.strip_prefix("unix:") {
            Some(path) => {
                unix.push(UnixStream::connect(path).unwrap());
                unix[0].write_all(handshake("/").as_bytes()).unwrap();
            }
            None => {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(handshake("/").as_bytes()).unwrap();
                tcp.push(stream);
            }
        }
        poll_open(&server);
    }
    assert_eq!((unix.len(), tcp.len()), (1, 3));
}

fn proxied(server: &Server, header: &[u8]) -> Raw {
    let mut raw = Raw::connect(server);
    raw.send(header);
    raw.send(handshake("/").as_bytes());
    raw
}

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[test]
fn the_proxy_protocol_names_the_client() {
    let server = start(&[("listen", "127.0.0.1:0?proxy")]);
    let client: Peer = Peer::Socket("203.0.113.7:4711".parse().unwrap());
    let mut raw = proxied(&server, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n");
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(poll_peer(&server), client);

    let v2 = [V2, b"\x21\x11\0\x0c", &[203, 0, 113, 7, 192, 0, 2, 1], &[0x12, 0x67, 1, 187]].concat();
    let mut raw = proxied(&server, &v2);
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(poll_peer(&server), client);

    // A health check of the proxy's own.
    let mut raw = proxied(&server, &[V2, b"\x20\0\0\0"].concat());
    assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
    assert_eq!(poll_peer(&server), Peer::Socket(raw.0.local_addr().unwrap()));
}

/// The proxy is trusted, but what stands in the request is its client's.
#[test]
fn behind_a_proxy_that_names_nobody_headers_are_not_believed() {
    let server = start(&[("listen", "127.0.0.1:0?proxy"), ("trusted_proxies", "127.0.0.1")]);
    let forged = handshake("/").replacen("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n", 1);
    let mut open = Vec::new();
    for header in [&b"PROXY UNKNOWN\r\n"[..], &[V2, b"\x21\0\0\0"].concat()] {
        let mut raw = Raw::connect(&server);
        raw.send(header);
        raw.send(forged.as_bytes());
        assert!(raw.read_head().starts_with("HTTP/1.1 101 "));
        assert_eq!(poll_peer(&server), Peer::Socket(raw.0.local_addr().unwrap()));
        open.push(raw);
    }
}

#[test]
fn every_address_of_both_versions_in_either_order() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for listen in [format!("0.0.0.0:{port},[::]:{port}"), format!("[::]:{port},0.0.0.0:{port}")] {
        let server = start(&[("listen", &listen)]);
        for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            TcpStream::connect(address).unwrap();
        }
        assert_eq!(server.addresses().len(), 2);
    }
}

#[test]
fn without_the_header_nobody_gets_in() {
    let server = start(&[("listen", "127.0.0.1:0?proxy"), ("handshake_timeout_ms", "1000")]);
    let mut raw = Raw::connect(&server);
    raw.send(handshake("/").as_bytes());
    let answer = raw.read_text();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("PROXY"), "{answer}");
    let mut silent = Raw::connect(&server);
    silent.send(b"PROXY TCP4 ");
    assert_eq!(silent.read_text(), "");
}

#[test]
fn only_trusted_proxies_may_use_a_listener_for_proxies() {
    let header = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n";
    let trusting = start(&[("listen", "127.0.0.1:0?proxy"), ("trusted_proxies", "127.0.0.0/8")]);
    assert!(proxied(&trusting, header).read_head().starts_with("HTTP/1.1 101 "));
    let wary = start(&[("listen", "127.0.0.1:0?proxy"), ("trusted_proxies", "10.0.0.0/8")]);
    let mut raw = Raw::connect(&wary);
    assert!(raw.read_text().starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_header_names_the_client_only_if_its_sender_is_trusted() {
    let forged = handshake("/").replacen("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n", 1);
    let peer = |trusted| {
        let server = start(&[("trusted_proxies", trusted)]);
        let mut raw = Raw::connect(&server);
        raw.send(forged.as_bytes());
        raw.read_head();
        (poll_peer(&server), raw.0.local_addr().unwrap())
    };
    assert_eq!(peer("127.0.0.1").0, Peer::Forwarded("203.0.113.7".parse().unwrap()));
    let (seen, real) = peer("none");
    assert_eq!(seen, Peer::Socket(real));
}

#[test]
fn limits_by_address_count_the_client_and_not_the_proxy() {
    let server = start(&[("trusted_proxies", "127.0.0.1"), ("max_connections_per_ip", "1")]);
    let open = |client: &str| {
        let mut raw = Raw::connect(&server);
        let header = format!("\r\nX-Forwarded-For: {client}\r\n\r\n");
        raw.send(handshake("/").replacen("\r\n\r\n", &header, 1).as_bytes());
        let status = raw.read_head()[9..12].to_owned();
        (raw, status)
    };
    let (_one, first) = open("203.0.113.1");
    let (_two, second) = open("203.0.113.2");
    let (_again, third) = open("203.0.113.1");
    assert_eq!([first, second, third], ["101", "101", "503"]);
}

#[test]
fn several_servers_share_a_port_if_all_say_so() {
    const CLIENTS: usize = 64;
    let first = start(&[("listen", "127.0.0.1:0?reuse_port")]);
    let address = first.addresses()[0].clone();
    let second = start(&[("listen", &format!("{address}?reuse_port"))]);
    assert_eq!(second.addresses(), first.addresses());
    let alone = Server::start(&config(&[("listen", &address)])).unwrap_err();
    assert!(alone.to_string().contains("in use"), "{alone}");

    let _clients: Vec<_> = (0..CLIENTS).map(|_| connect(&first)).collect();
    let counts = || [&first, &second].map(|server| server.stats().connections as usize);
    eventually("all are connected", || counts().iter().sum::<usize>() == CLIENTS);
    assert!(counts().iter().all(|count| *count > 0), "{:?}", counts());
}
