//! An engine with nothing to do does nothing: in no state of a connection does an I/O thread spin. Alone in its
//! file, one server after the other: it reads how long the I/O threads of this process have run.

mod common;

use common::{Raw, Seen, config, eventually, frame, poll_open, start};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use wsengine::{Kind, Server};

/// How long a state is watched, and what a thread may run in it: pings, timers, and the end of what came before.
const WATCHED: Duration = Duration::from_millis(300);
const ALLOWED: Duration = Duration::from_millis(30);

/// One server at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The time that the I/O threads of a process have run.
fn running_time(process: &str) -> Duration {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
        if name.starts_with("wsengine-io") {
            let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
            total += schedstat.split(' ').next().unwrap().parse().unwrap_or(0);
        }
    }
    Duration::from_nanos(total)
}

/// Watches until a stretch of time passes in which the threads rest; a spinning thread never does.
fn assert_rests(process: &str, what: &str) {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let before = running_time(process);
        thread::sleep(WATCHED);
        least = least.min(running_time(process).saturating_sub(before));
        if least <= ALLOWED {
            return;
        }
    }
    panic!("{what}: the I/O threads ran for {least:?} in {WATCHED:?}");
}

fn alone(options: &[(&str, &str)], scene: impl FnOnce(&Server)) {
    let _guard = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let server = start(options);
    scene(&server);
}

#[test]
fn with_silent_connections() {
    alone(&[("io_threads", "2")], |server| {
        let raws: Vec<_> = (0..100).map(|_| Raw::open(server)).collect();
        let half: Vec<_> = (0..20).map(|_| Raw::connect(server)).collect();
        assert_rests("self", "silent connections");
        drop((raws, half));
        eventually("all are gone", || server.stats().connections == 0);
        assert_rests("self", "after them");
    });
}

#[test]
fn with_a_full_inbox_and_unread_data() {
    alone(&[("event_queue_events", "16"), ("ping_interval_ms", "20"), ("io_threads", "1")], |server| {
        let mut raws: Vec<_> = (0..5).map(|_| Raw::open(server)).collect();
        for raw in &mut raws {
            for _ in 0..1_000 {
                raw.send(&frame(0x81, b"nobody polls"));
            }
        }
        eventually("the inbox is full", || server.stats().read_pauses >= 5);
        assert_rests("self", "unread data");
        // Some of them go, which nobody can tell before their data is read.
        raws.truncate(2);
        raws[0].0.shutdown(Shutdown::Write).unwrap();
        assert_rests("self", "unread data of peers that have gone");
        // So much is open that no more are accepted.
        let more: Vec<_> = (0..30).map(|_| TcpStream::connect(&server.addresses()[0]).unwrap()).collect();
        more.iter().for_each(|socket| (&mut &*socket).write_all(common::handshake("/").as_bytes()).unwrap());
        assert_rests("self", "sockets that wait to be accepted");
    });
}

#[test]
fn with_a_peer_that_takes_nothing() {
    alone(&[("io_threads", "1"), ("slow_consumer", "drop_newest")], |server| {
        let mut raw = Raw::open(server);
        let conn = poll_open(server);
        for _ in 0..100 {
            let _ = server.broadcast(Kind::Binary, &[0; 100_000], &[]);
        }
        eventually("something waits", || server.stats().messages_dropped > 0);
        assert_rests("self", "a full outbox");
        server.close(conn, 1000, "").unwrap();
        assert_rests("self", "a close frame behind a full outbox");
        // The peer breaks the rules while answers for it are stuck.
        raw.send(&frame(0x83, b""));
        assert_rests("self", "a breach behind a full outbox");
    });
}

#[test]
fn with_a_peer_that_stays_after_the_end() {
    alone(&[("io_threads", "1")], |server| {
        let mut raw = Raw::open(server);
        let conn = poll_open(server);
        raw.send(&frame(0x88, b""));
        assert_eq!(raw.read_all(), [0x88, 0]);
        assert_rests("self", "a lingering connection");
        assert!(matches!(common::poll(server), Seen::Close { conn: from, .. } if from == conn));
        raw.send(&[0; 1_000]);
        assert_rests("self", "a lingering connection with more data");
        let mut refused = Raw::connect(server);
        refused.send(b"garbage\r\n\r\n");
        refused.read_all();
        assert_rests("self", "a refused socket that stays");
    });
}

#[test]
fn while_it_drains() {
    alone(&[("io_threads", "2"), ("close_timeout_ms", "60000")], |server| {
        let raws: Vec<_> = (0..5).map(|_| Raw::open(server)).collect();
        server.stop(Some(Duration::from_secs(60)));
        assert_rests("self", "a stop under way");
        server.stop(Some(Duration::ZERO));
        drop(raws);
    });
}

/// A server in a process of its own with few descriptors.
struct Poor {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Poor {
    /// Runs the test `name` again, which has to call [`serve`] then.
    fn start(name: &str) -> Poor {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut poor = Poor { process, lines, address: String::new() };
        poor.address = poor.line_after("listening on");
        poor
    }

    fn line_after(&mut self, word: &str) -> String {
        let line = self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(word));
        line.unwrap_or_else(|| panic!("no {word}")).split_once(word).unwrap().1.trim().to_owned()
    }

    fn connect(&self, request: &str) -> Raw {
        let mut raw = Raw(TcpStream::connect(&self.address).unwrap());
        raw.0.set_read_timeout(Some(common::PATIENCE)).unwrap();
        raw.send(request.as_bytes());
        raw
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Set in a process that was started by [`Poor`].
const CHILD: &str = "WSENGINE_TEST_CHILD";

#[test]
fn when_descriptors_have_run_out() {
    if std::env::var_os(CHILD).is_some() {
        return serve();
    }
    let mut poor = Poor::start("when_descriptors_have_run_out");
    let many: Vec<_> = (0..150).map(|_| poor.connect(&common::handshake("/"))).collect();
    let error = poor.line_after("error:");
    assert!(error.contains("cannot be accepted"), "{error}");
    assert_rests(&poor.process.id().to_string(), "no descriptors");
    // Those that hold them go, and good clients get in.
    drop(many);
    assert!(poor.connect(&common::handshake("/")).read_head().starts_with("HTTP/1.1 101 "));
    poor.end();
}

#[test]
fn where_descriptors_are_few_silent_sockets_keep_nobody_out() {
    if std::env::var_os(CHILD).is_some() {
        return serve();
    }
    let poor = Poor::start("where_descriptors_are_few_silent_sockets_keep_nobody_out");
    let silent: Vec<_> = (0..80).map(|_| poor.connect("")).collect();
    // They would have ten seconds each if there were descriptors enough.
    let begin = Instant::now();
    assert!(poor.connect(&common::handshake("/")).read_head().starts_with("HTTP/1.1 101 "));
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    drop(silent);
    poor.end();
}

/// Serves until its standard input ends.
#[allow(clippy::print_stdout)] // The process that started it reads it.
fn serve() {
    let server = Server::start(&config(&[("max_connections", "1000")])).unwrap();
    println!("\nlistening on {}", server.addresses()[0]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().lines().count();
            server.stop(Some(Duration::ZERO));
        });
        loop {
            match common::poll_within(&server, Duration::from_secs(60)) {
                Some(Seen::Error { message }) => println!("\nerror: {message}"),
                Some(Seen::Stopped) => return,
                _ => {}
            }
        }
    });
}
