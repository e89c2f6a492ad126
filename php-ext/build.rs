//! Tells the crate whether the PHP it is built for is a debug build: a few functions of such a PHP take the place
//! they are called from as further arguments.

use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(php_debug)");
    println!("cargo::rerun-if-env-changed=PHP");
    let php = std::env::var("PHP").unwrap_or_else(|_| "php".into());
    let debug = Command::new(&php).args(["-n", "-r", "echo PHP_DEBUG;"]).output();
    match debug {
        Ok(output) if output.status.success() => {
            if output.stdout.starts_with(b"1") {
                println!("cargo::rustc-cfg=php_debug");
            }
        }
        other => panic!("{php:?} does not run, name another by the environment variable PHP: {other:?}"),
    }
}
