//! Redis itself, and somebody who says its words.

use super::eventually;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Somebody who pushes.
pub struct Pusher<S>(pub BufReader<S>);

impl<S: Read + Write> Pusher<S> {
    /// Says words as an array, and gives the answer, without its end of line.
    pub fn say(&mut self, words: &[&[u8]]) -> String {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.write(&command);
        self.answer()
    }

    pub fn publish(&mut self, channel: &str, payload: &[u8]) -> String {
        self.say(&[b"PUBLISH", channel.as_bytes(), payload])
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Has it been ended?
    pub fn is_at_end(&mut self) -> bool {
        match self.0.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

pub fn pusher(path: &str) -> Pusher<UnixStream> {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Pusher(BufReader::new(stream))
}

/// A redis-server of the test's own, on a unix socket.
pub struct Redis {
    folder: PathBuf,
    options: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// Starts one; `options` are those of redis-server.
    pub fn start(name: &str, options: &[&str]) -> Redis {
        let folder = std::env::temp_dir().join(format!("wsengine-redis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let options = options.iter().map(|option| option.to_string()).collect();
        let mut redis = Redis { folder, options, process: None };
        redis.restart();
        redis
    }

    pub fn socket(&self) -> String {
        self.folder.join("redis.sock").display().to_string()
    }

    /// What the option `backplane` says.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket())
    }

    pub fn restart(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", &self.socket()])
            .args(&self.options)
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server, which scripts/setup.sh test installs");
        self.process = Some(process);
        eventually("Redis answers", || {
            UnixStream::connect(self.socket()).is_ok_and(|stream| {
                let answer = Pusher(BufReader::new(stream)).say(&[b"PING"]);
                answer == "+PONG" || answer.starts_with("-NOAUTH")
            })
        });
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops it for a while (SIGSTOP), or lets it go on.
    pub fn freeze(&self, freeze: bool) {
        let signal = if freeze { "-STOP" } else { "-CONT" };
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
