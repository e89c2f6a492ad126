//! The reference of the options is what the table says. `WRITE_DOCS=1 cargo test -p wsengine --test options_page`
//! writes it anew.

use std::fmt::Write as _;
use wsengine::Config;

#[test]
fn the_page_is_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    let expected = page();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "docs/options.md is not what the table says; see the head of this test");
}

fn page() -> String {
    let mut page = String::from(
        "# Options\n\n\
         The same names, values and checks in every language: keys of the array given to `ws_server_start()` in PHP,\n\
         `wsengine_config_set(config, name, value)` in C, `Config::set(name, value)` in Rust. A wrong value or an\n\
         unknown name is an error that names the option, the value and what is allowed. Lists are separated by\n\
         commas (in PHP an array does as well). Durations are in milliseconds (`_ms`), sizes in bytes (`_bytes`).\n\n\
         This page is generated from the table in `engine/src/config/table.rs`.\n\n\
         | option | default | what it does | allowed |\n| --- | --- | --- | --- |\n",
    );
    for option in Config::options() {
        let (doc, allowed) = (option.doc.replace('|', "\\|"), option.allowed.replace('|', "\\|"));
        writeln!(page, "| `{}` | `{}` | {doc} | {allowed} |", option.name, option.default).unwrap();
    }
    page
}
