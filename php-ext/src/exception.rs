//! The exceptions of the extension, and how a call fails. The classes have nothing of their own, so that PHP fills
//! in file and line and scripts may extend them.

use crate::zend::{self, ClassEntry, Permanent};
use ext_php_rs::exception::throw_with_code;
use ext_php_rs::ffi;
use ext_php_rs::zend::ce;
use std::ffi::CString;
use wsengine::Error;

static EXCEPTION: Permanent<ClassEntry> = Permanent::new();
static CONFIG_EXCEPTION: Permanent<ClassEntry> = Permanent::new();
static BIND_EXCEPTION: Permanent<ClassEntry> = Permanent::new();
static FORK_EXCEPTION: Permanent<ClassEntry> = Permanent::new();

unsafe extern "C" {
    static spl_ce_RuntimeException: *mut ClassEntry;
}

/// Registers the classes. Only for module startup.
pub(crate) fn register() {
    // SAFETY: PHP's SPL is always there and is started before any other module.
    let runtime_exception = unsafe { spl_ce_RuntimeException };
    let base = zend::plain_subclass("WsEngine\\Exception", runtime_exception);
    EXCEPTION.set(base);
    CONFIG_EXCEPTION.set(zend::plain_subclass("WsEngine\\ConfigException", base));
    BIND_EXCEPTION.set(zend::plain_subclass("WsEngine\\BindException", base));
    FORK_EXCEPTION.set(zend::plain_subclass("WsEngine\\ForkException", base));
}

/// Why a call of a function ends without a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// PHP has raised the error itself, in its own words.
    Raised,
    /// A `ValueError`; the text goes on after "ws_x(): Argument #n ($x) ".
    Value(u32, String),
    /// A `TypeError`; the text goes on as for a `ValueError`.
    Type(u32, String),
    /// A `WsEngine\Exception` with this code.
    Exception(String, i32),
    /// A `WsEngine\ConfigException`.
    Config(String),
    /// A `WsEngine\BindException`; its code is the system's error number.
    Bind(String, i32),
    /// A `WsEngine\ForkException`.
    Fork(String),
}

impl Failure {
    /// Throws it in the script. A call that has thrown returns at once.
    #[cold]
    pub(crate) fn throw(self) {
        if zend::exception_pending() {
            return;
        }
        match self {
            Failure::Raised => {}
            Failure::Value(argument, text) => {
                let text = c_text(&text);
                // SAFETY: a function of ours is running, and `%s` takes one C string.
                unsafe { ffi::zend_argument_value_error(argument, c"%s".as_ptr(), text.as_ptr()) };
            }
            Failure::Type(argument, text) => {
                let text = c_text(&text);
                // SAFETY: as above.
                unsafe { ffi::zend_argument_type_error(argument, c"%s".as_ptr(), text.as_ptr()) };
            }
            Failure::Exception(text, code) => throw(&EXCEPTION, &text, code),
            Failure::Config(text) => throw(&CONFIG_EXCEPTION, &text, 0),
            Failure::Bind(text, errno) => throw(&BIND_EXCEPTION, &text, errno),
            Failure::Fork(text) => throw(&FORK_EXCEPTION, &text, 0),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Config(text) => Failure::Config(text),
            Error::Bind { source, .. } => Failure::Bind(text, source.raw_os_error().unwrap_or(0)),
            Error::Io { source, .. } => Failure::Exception(text, source.raw_os_error().unwrap_or(0)),
        }
    }
}

fn throw(class: &Permanent<ClassEntry>, text: &str, code: i32) {
    // SAFETY: registered at module startup; null only before, when no script runs.
    let class = unsafe { class.get().as_ref() }.unwrap_or_else(|| ce::exception());
    let text = c_text(text);
    // It fails only for abstract classes and for text with NUL bytes; this is neither.
    let _ = throw_with_code(class, code, &text.to_string_lossy());
}

/// Text for C: a NUL byte, which would end it, is shown as `\0`.
fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}
