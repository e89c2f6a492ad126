//! The table of options, for programs that show it or check a name of their own.

use crate::boundary::guard;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;
use wsengine::{Config, OptionInfo, Value};

/// What the value of an option is.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum wsengine_option_type {
    /// A whole number, such as "65536".
    WSENGINE_OPTION_NUMBER = 1,
    /// "on" or "off".
    WSENGINE_OPTION_SWITCH = 2,
    /// One of a few words, such as "close".
    WSENGINE_OPTION_WORD = 3,
    /// A file or a directory, or "none".
    WSENGINE_OPTION_PATH = 4,
    /// Items separated by commas, or a word that stands for all or none.
    WSENGINE_OPTION_LIST = 5,
    /// Any text.
    WSENGINE_OPTION_TEXT = 6,
    /// Any text, and nobody else's business, such as a password.
    WSENGINE_OPTION_SECRET = 7,
}

use wsengine_option_type::*;

/// An option of wsengine_config_set(). Later versions may add fields at the end.
#[repr(C)]
pub struct wsengine_option_info_t {
    /// Its name.
    pub name: *const c_char,
    /// Its value when it is not set.
    pub default_value: *const c_char,
    /// What is allowed, in words.
    pub allowed: *const c_char,
    /// What it does, in words.
    pub doc: *const c_char,
    /// One of enum wsengine_option_type.
    pub r#type: u32,
}

/// The option number index (from 0), or NULL when there are no more. Static.
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_option_info(index: usize) -> *const wsengine_option_info_t {
    static TABLE: OnceLock<Table> = OnceLock::new();
    let info = || {
        let table =
            TABLE.get_or_init(|| Table(Config::options().iter().map(wsengine_option_info_t::new).collect()));
        Ok(table.0.get(index).map_or(std::ptr::null(), std::ptr::from_ref))
    };
    guard(|_| std::ptr::null(), info)
}

struct Table(Vec<wsengine_option_info_t>);

// SAFETY: it points to texts that are never changed or freed.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl wsengine_option_info_t {
    fn new(option: &OptionInfo) -> Self {
        wsengine_option_info_t {
            name: text(option.name),
            default_value: text(option.default),
            allowed: text(option.allowed),
            doc: text(option.doc),
            r#type: number(option.value) as u32,
        }
    }
}

/// For the table, which is never freed.
fn text(text: &str) -> *const c_char {
    CString::new(text).unwrap_or_default().into_raw()
}

fn number(value: Value) -> wsengine_option_type {
    match value {
        Value::Number => WSENGINE_OPTION_NUMBER,
        Value::Switch => WSENGINE_OPTION_SWITCH,
        Value::Word => WSENGINE_OPTION_WORD,
        Value::Path => WSENGINE_OPTION_PATH,
        Value::List => WSENGINE_OPTION_LIST,
        Value::Text => WSENGINE_OPTION_TEXT,
        Value::Secret => WSENGINE_OPTION_SECRET,
    }
}
