//! `include/wsengine.h` is what cbindgen makes of `capi/src`. With `WRITE_HEADER=1` this writes it instead.

use std::path::Path;

#[test]
fn the_header_is_generated_from_the_sources() {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = capi.join("../include/wsengine.h");
    let generated = generate(capi);
    if std::env::var_os("WRITE_HEADER").is_some() {
        return std::fs::write(&path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((number, (old, new))) = first_difference(&committed, &generated) {
        panic!(
            "include/wsengine.h differs from the sources in line {number}:\n  committed: {old}\n  generated: {new}\n\
             run: WRITE_HEADER=1 cargo test -p wsengine-capi --test header"
        );
    }
}

fn generate(capi: &Path) -> String {
    let mut config = cbindgen::Config::from_file(capi.join("cbindgen.toml")).unwrap();
    let macros = version_macros() + config.after_includes.as_deref().unwrap_or_default();
    config.after_includes = Some(macros);
    let bindings = cbindgen::Builder::new().with_crate(capi).with_config(config).generate().unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    tidy(&String::from_utf8(header).unwrap())
}

fn version_macros() -> String {
    let [major, minor, patch] =
        [env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"), env!("CARGO_PKG_VERSION_PATCH")];
    format!(
        r#"
#define WSENGINE_VERSION_MAJOR {major}
#define WSENGINE_VERSION_MINOR {minor}
#define WSENGINE_VERSION_PATCH {patch}
#define WSENGINE_VERSION_STRING "{major}.{minor}.{patch}"
/* 0xMMmmpp00, to be compared with wsengine_version_number() */
#define WSENGINE_VERSION_NUMBER \
    ((WSENGINE_VERSION_MAJOR << 24) | (WSENGINE_VERSION_MINOR << 16) | (WSENGINE_VERSION_PATCH << 8))"#
    )
}

/// Functions name their types as C programs do, by the typedef, which leaves most of them on one line.
fn tidy(header: &str) -> String {
    let line = |line: &str| match line.starts_with("typedef") {
        true => line.to_owned(),
        false => line.replace("struct wsengine_", "wsengine_"),
    };
    header.trim_start().lines().map(|text| line(text) + "\n").collect()
}

fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(usize, (&'a str, &'a str))> {
    let end = "(end)";
    let lines = |text: &'a str| text.lines().map(Some).chain(std::iter::repeat(None));
    let longest = old.lines().count().max(new.lines().count());
    let mut pairs = lines(old).zip(lines(new)).take(longest).enumerate();
    let (index, (old, new)) = pairs.find(|(_, (old, new))| old != new)?;
    Some((index + 1, (old.unwrap_or(end), new.unwrap_or(end))))
}
