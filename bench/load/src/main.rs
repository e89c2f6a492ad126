//! wsload: a WebSocket load generator cheap enough not to be the limit.
//!
//! One thread, edge-triggered epoll, frames built once. Each mode is one file: it opens its connections,
//! loads the server for the given time and returns a [`report::Report`], which is printed here.

mod broadcast;
mod cli;
mod client;
mod deflate;
mod echo;
mod exchange;
mod frame;
mod handshake;
mod handshakes;
mod histogram;
mod idle;
mod meter;
mod process;
mod rate;
mod replies;
mod report;
mod stream;
mod sys;
mod target;
mod tls;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Mode};
use report::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match run(cli) {
        Ok(report) => {
            print(&if json { report.json() } else { report.human() });
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> io::Result<Report> {
    if let Some(cpu) = cli.cpu {
        sys::pin_to_cpu(cpu)?;
    }
    sys::raise_descriptor_limit()?;
    match cli.mode {
        Mode::Echo(options) => echo::run(&options, cli.pid),
        Mode::Rate(options) => rate::run(&options, cli.pid),
        Mode::Broadcast(options) => broadcast::run(&options, cli.pid),
        Mode::Idle(options) => idle::run(&options, cli.pid),
        Mode::Handshakes(options) => handshakes::run(&options, cli.pid),
    }
}

#[allow(clippy::print_stdout, reason = "the result is what this program is for")]
fn print(line: &str) {
    println!("{line}");
}

#[allow(clippy::print_stderr, reason = "a program's error belongs on stderr")]
fn complain(error: &io::Error) {
    eprintln!("wsload: {error}");
}
