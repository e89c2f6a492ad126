//! Gives the shared library its soname, which cargo does not. Programs record it when they are linked, so it changes
//! only when an older program would no longer run with the newer library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        let major = env!("CARGO_PKG_VERSION_MAJOR");
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwsengine.so.{major}");
    }
}
