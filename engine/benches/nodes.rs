//! How nodes with a Redis between them scale: `cargo bench --bench nodes -- [NODES...]`.
//!
//! All nodes are in this process, each with ten connections that are members of one topic of all nodes and one of the
//! node's own. One node after another publishes at a fixed rate in all, to the topic of all nodes: Redis has a copy for
//! each node to send. Then each publishes to its own topic: Redis has one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wsengine::{Config, EventBody, Kind, Server, Wait};

const MEMBERS: usize = 10;
const SECONDS: u64 = 3;
/// Messages a second, of 100 bytes.
const RATE: u64 = 1_000;
const PAYLOAD: [u8; 100] = [b'x'; 100];

fn main() {
    let mut counts: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    if counts.is_empty() {
        counts = vec![1, 10, 30, 100];
    }
    println!(
        "{MEMBERS} members a node, {RATE} messages of {} bytes a second, {SECONDS} s each",
        PAYLOAD.len()
    );
    println!(
        "nodes  topic     published/s  received/s  deliveries/s  Redis CPU %  Redis CPU us/copy  resident MiB"
    );
    for count in counts {
        let redis = Redis::start();
        let nodes: Vec<_> = (0..count).map(|number| Node::start(&redis, number)).collect();
        for (name, topic) in [("of all", None), ("its own", Some("own"))] {
            measure(&redis, &nodes, name, topic);
        }
    }
}

fn measure(redis: &Redis, nodes: &[Node], name: &str, own: Option<&str>) {
    let sums = || {
        nodes.iter().fold([0; 3], |[sent, received, out], node| {
            let stats = node.server.stats();
            [sent + stats.backplane_sent, received + stats.backplane_received, out + stats.messages_out]
        })
    };
    let (before, cpu_before, begin) = (sums(), redis.cpu(), Instant::now());
    let mut published = 0;
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        while published < begin.elapsed().as_millis() as u64 * RATE / 1_000 {
            let number = published as usize % nodes.len();
            let topic = own.map_or("all".to_owned(), |own| format!("{own} {number}"));
            nodes[number].server.publish(Kind::Text, &topic, &PAYLOAD, &[]).unwrap();
            published += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let copies = if own.is_some() { published } else { published * nodes.len() as u64 };
    let patience = Instant::now();
    while sums()[1] - before[1] < copies && patience.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (after, cpu, seconds) = (sums(), redis.cpu() - cpu_before, begin.elapsed().as_secs_f64());
    let per_second = |index: usize| (after[index] - before[index]) as f64 / seconds;
    println!(
        "{:5}  {name:8}  {:11.0}  {:10.0}  {:12.0}  {:11.1}  {:17.2}  {:12.0}",
        nodes.len(),
        per_second(0),
        per_second(1),
        per_second(2),
        100.0 * cpu / seconds,
        1e6 * cpu / (after[1] - before[1]) as f64,
        resident() / 1_048_576.0,
    );
}

struct Node {
    server: Arc<Server>,
    over: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    fn start(redis: &Redis, number: usize) -> Node {
        let mut config = Config::new();
        for (name, value) in [("listen", "127.0.0.1:0"), ("io_threads", "1"), ("backplane", &redis.url())] {
            config.set(name, value).unwrap();
        }
        let server = Arc::new(Server::start(&config).unwrap());
        let mut poller = server.poller().unwrap();
        let mut next_open = |up: bool| loop {
            assert_eq!(poller.wait(Some(Duration::from_secs(20)), || false), Wait::Events);
            while let Some(event) = poller.next() {
                match event.body {
                    EventBody::Open(_) => return event.conn,
                    EventBody::Backplane { up: true, .. } if up => return None,
                    _ => {}
                }
            }
        };
        next_open(true);
        let streams: Vec<_> = (0..MEMBERS)
            .map(|_| {
                let stream = connect(&server.addresses()[0]);
                let conn = next_open(false).unwrap();
                server.subscribe(conn, "all").unwrap();
                server.subscribe(conn, &format!("own {number}")).unwrap();
                stream
            })
            .collect();
        drop(poller);
        let over = Arc::new(AtomicBool::new(false));
        let reader = {
            let over = over.clone();
            std::thread::spawn(move || drain(&streams, &over))
        };
        Node { server, over, reader: Some(reader) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.reader.take().map(std::thread::JoinHandle::join);
    }
}

fn connect(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream.set_nonblocking(true).unwrap();
    stream
}

/// Reads what comes and forgets it.
fn drain(streams: &[TcpStream], over: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        for mut stream in streams {
            while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
        }
    }
}

struct Redis {
    folder: std::path::PathBuf,
    process: Child,
}

impl Redis {
    fn start() -> Redis {
        let folder = std::env::temp_dir().join(format!("wsengine-nodes-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server");
        while !folder.join("redis.sock").exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Redis { folder, process }
    }

    fn url(&self) -> String {
        format!("redis+unix://{}/redis.sock", self.folder.display())
    }

    /// Seconds, of user and system.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}
