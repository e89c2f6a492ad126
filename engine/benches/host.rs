//! What a call costs the host: `cargo bench -p wsengine`. The engine works meanwhile, on another processor if there is one.

use divan::Bencher;
use divan::counter::ItemsCount;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use wsengine::{Config, ConnId, EventBody, Kind, Server, Wait};

fn main() {
    divan::main();
}

/// So many calls make a sample: they fit into the queue of a connection.
const CALLS: usize = 1_000;
const SECOND: Duration = Duration::from_secs(1);

/// A server and its clients, whose messages nobody looks at.
struct Bench {
    server: Server,
    conns: Vec<ConnId>,
    clients: Vec<TcpStream>,
}

impl Bench {
    fn new(clients: usize) -> Self {
        let mut config = Config::new();
        for (name, value) in [("listen", "127.0.0.1:0"), ("io_threads", "1")] {
            config.set(name, value).expect("the option is known");
        }
        let server = Server::start(&config).expect("the server starts");
        let clients: Vec<_> = (0..clients).map(|_| open(&server)).collect();
        let mut bench = Bench { server, conns: Vec::new(), clients };
        while bench.conns.len() < bench.clients.len() {
            let mut poller = bench.server.poller().expect("nobody else polls");
            assert_eq!(poller.wait(Some(SECOND), || false), Wait::Events);
            while let Some(event) = poller.next() {
                bench.conns.extend(event.conn);
            }
        }
        bench
    }

    /// Waits until all is sent, and takes it from the sockets.
    fn settle(&self) {
        let mut buffer = vec![0; 1 << 20];
        while self.conns.iter().any(|conn| self.server.buffered(*conn) != Ok(0)) {
            std::thread::yield_now();
        }
        for mut client in &self.clients {
            while matches!(client.read(&mut buffer), Ok(1..)) {}
        }
    }
}

fn open(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.addresses()[0]).expect("the server listens");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        head.extend(byte);
    }
    stream.set_nonblocking(true).expect("a socket can be that");
    stream
}

/// Times `call` on a server with so many clients.
fn calls(bencher: Bencher, clients: usize, call: impl Fn(&Bench)) {
    let bench = Bench::new(clients);
    bencher.counter(ItemsCount::new(CALLS)).with_inputs(|| bench.settle()).bench_local_values(|()| {
        for _ in 0..CALLS {
            call(&bench);
        }
    });
}

#[divan::bench(args = [64, 1024])]
fn send(bencher: Bencher, size: usize) {
    let message = vec![b'x'; size];
    calls(bencher, 1, |bench| {
        bench.server.send(bench.conns[0], Kind::Text, &message).expect("there is room")
    });
}

#[divan::bench(args = [1, 100])]
fn broadcast(bencher: Bencher, clients: usize) {
    calls(bencher, clients, |bench| {
        bench.server.broadcast(Kind::Text, &[b'x'; 64], &[]).expect("there is room");
    });
}

/// A poll with nothing to say.
#[divan::bench]
fn poll_nothing(bencher: Bencher) {
    calls(bencher, 0, |bench| {
        let mut poller = bench.server.poller().expect("nobody else polls");
        assert_eq!(poller.wait(Some(Duration::ZERO), || false), Wait::Timeout);
    });
}

/// Taking messages that have come, one lock for all.
#[divan::bench(args = [64, 1024])]
fn poll_messages(bencher: Bencher, size: usize) {
    let bench = Bench::new(1);
    let frame: &[u8] = &match size {
        64 => [&[0x81, 0x80 | 64, 0, 0, 0, 0][..], &[b'x'; 64]].concat(),
        _ => [&[0x81, 0x80 | 126, 4, 0, 0, 0, 0, 0][..], &[b'x'; 1024]].concat(),
    };
    let come = |bench: &Bench| {
        let before = bench.server.stats().messages_in;
        for _ in 0..10 {
            let mut client = &bench.clients[0];
            client.set_nonblocking(false).expect("a socket can be that");
            client.write_all(&frame.repeat(CALLS / 10)).expect("the server reads");
        }
        while bench.server.stats().messages_in < before + CALLS as u64 {
            std::thread::yield_now();
        }
    };
    bencher.counter(ItemsCount::new(CALLS)).with_inputs(|| come(&bench)).bench_local_values(|()| {
        let mut taken = 0;
        while taken < CALLS {
            let mut poller = bench.server.poller().expect("nobody else polls");
            assert_eq!(poller.wait(Some(SECOND), || false), Wait::Events);
            while let Some(event) = poller.next() {
                taken += usize::from(matches!(divan::black_box(event).body, EventBody::Message { .. }));
            }
        }
    });
}
