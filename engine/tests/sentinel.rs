//! Sentinels say where Redis is: a node follows when it is elsewhere.

mod common;

use common::{Seen, connect, eventually, poll, poll_open, receive, start};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use wsengine::Kind;

/// A program of Redis's on a port.
struct Program {
    port: u16,
    folder: PathBuf,
    process: Child,
}

impl Program {
    /// A Redis with these options, or with the lines of a file of configuration a Sentinel.
    fn start(options: &[&str], sentinel: Option<&str>) -> Program {
        // A port that was free a moment ago may not be any more.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder =
                std::env::temp_dir().join(format!("wsengine-sentinel-{}-{port}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let mut command = Command::new("redis-server");
            if let Some(lines) = sentinel {
                let file = folder.join("sentinel.conf");
                std::fs::write(&file, lines).unwrap();
                command.arg(file).arg("--sentinel");
            }
            let process = command
                .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir", folder.to_str().unwrap()])
                .args(options)
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server, which scripts/setup.sh test installs");
            let mut program = Program { port, folder, process };
            let begin = Instant::now();
            while program.process.try_wait().unwrap().is_none() && begin.elapsed() < common::PATIENCE {
                if program.try_say("PING").is_some() {
                    return program;
                }
                std::thread::yield_now();
            }
        }
        panic!("no port is free")
    }

    fn redis(options: &[&str]) -> Program {
        Program::start(&[&["--save", "", "--appendonly", "no"], options].concat(), None)
    }

    /// The first line of an answer.
    fn try_say(&self, words: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(common::PATIENCE)).ok()?;
        write!(stream, "{words}\r\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        (!line.is_empty()).then(|| line.trim_end().to_owned())
    }

    /// An answer of many lines as one text.
    fn info(&self, section: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(common::PATIENCE)).unwrap();
        write!(stream, "INFO {section}\r\n").unwrap();
        let mut answer = BufReader::new(stream);
        let mut len = String::new();
        answer.read_line(&mut len).unwrap();
        let mut text = vec![0; len.trim_start_matches('$').trim_end().parse().unwrap()];
        answer.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_node_follows_to_the_new_master() {
    let master = Program::redis(&["--requirepass", "secret", "--masterauth", "secret"]);
    let port = master.port.to_string();
    let replica = Program::redis(&["--replicaof", "127.0.0.1", &port, "--masterauth", "secret"]);
    eventually("the replica follows", || replica.info("replication").contains("master_link_status:up"));
    let sentinel = Program::start(
        &[],
        Some(&format!(
            "sentinel monitor shop 127.0.0.1 {port} 1\nsentinel auth-pass shop secret\n\
             sentinel down-after-milliseconds shop 500\nsentinel failover-timeout shop 5000\n"
        )),
    );
    eventually("the Sentinel knows the replica", || sentinel.info("sentinel").contains("slaves=1"));

    // The first of the Sentinels is not there.
    let url = format!("redis+sentinel://:secret@127.0.0.1:1,127.0.0.1:{}/shop", sentinel.port);
    let node = start(&[("backplane", &url)]);
    assert_eq!(poll(&node), Seen::Backplane { up: true, gap: false, reason: String::new() });
    let mut client = connect(&node);
    let conn = poll_open(&node);
    node.subscribe(conn, "lobby").unwrap();
    node.publish(Kind::Text, "lobby", b"by the first", &[]).unwrap();
    assert_eq!(receive(&mut client), Message::text("by the first"));

    drop(master);
    assert!(matches!(poll(&node), Seen::Backplane { up: false, .. }));
    assert_eq!(poll(&node), Seen::Backplane { up: true, gap: true, reason: String::new() });
    eventually("it is subscribed there", || {
        replica.try_say("PUBLISH wse:default:topic:lobby outside").as_deref() == Some(":1")
    });
    while receive(&mut client) != Message::text("outside") {}
    node.publish(Kind::Text, "lobby", b"by the second", &[]).unwrap();
    assert_eq!(receive(&mut client), Message::text("by the second"));
}

#[test]
fn what_no_sentinel_knows_is_said() {
    let sentinel = Program::start(&[], Some(""));
    let url = format!("redis+sentinel://127.0.0.1:{}/nobody", sentinel.port);
    let node = start(&[("backplane", &url)]);
    let Seen::Backplane { up: false, gap: false, reason } = poll(&node) else { panic!("no loss") };
    let said = format!("no Sentinel says where Redis is: 127.0.0.1:{} knows no \"nobody\"", sentinel.port);
    assert_eq!(reason, said);
}
