//! Options of a server by name, through the engine's own table.

use crate::boundary::{call, guard, null, text};
use crate::error::Failure;
use crate::error::wsengine_error::WSENGINE_ERR_INVALID;
use std::ffi::{c_char, c_int};
use wsengine::Config;

/// Options for wsengine_start(); for one thread at a time. May start several servers.
pub struct wsengine_config_t {
    pub(crate) options: Config,
}

/// All options at their defaults. NULL when something is badly wrong; see wsengine_last_error().
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn wsengine_config_new() -> *mut wsengine_config_t {
    let config = || wsengine_config_t { options: Config::new() };
    guard(|_| std::ptr::null_mut(), || Ok(Box::into_raw(Box::new(config()))))
}

/// Sets an option by its name, such as ("listen", "0.0.0.0:8080") or ("max_message_bytes", "65536"); values are
/// text, lists are separated by commas, a second call replaces the first. docs/options.md lists all.
/// WSENGINE_ERR_INVALID: the name is unknown or the value is not allowed; wsengine_last_error() says what is, and
/// the option stays as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_config_set(
    config: *mut wsengine_config_t,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    call(|| {
        // SAFETY: by the header's contract the handle is NULL or live and not in use by another thread.
        let config = unsafe { config.as_mut() }.ok_or_else(|| null(c"config is NULL"))?;
        // SAFETY: by the header's contract both are NULL or C strings.
        let (name, value) = unsafe { (text(name, c"name is NULL")?, text(value, c"value is NULL")?) };
        config.options.set(&String::from_utf8_lossy(name), utf8(value)?)?;
        Ok(0)
    })
}

/// Frees options. NULL is allowed. Servers started with them live on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wsengine_config_free(config: *mut wsengine_config_t) {
    let free = || {
        if !config.is_null() {
            // SAFETY: by the header's contract it came from wsengine_config_new() and is freed once.
            drop(unsafe { Box::from_raw(config) });
        }
        Ok(())
    };
    guard(|_| (), free);
}

fn utf8(value: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(value).map_err(|_| Failure::saying(WSENGINE_ERR_INVALID, c"the value is not UTF-8"))
}
