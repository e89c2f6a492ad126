//! INI settings: `wsengine.<option>` for every option of the engine's table, as the default that an administrator
//! gives it. What a script passes to `ws_server_start()` counts more.

use crate::exception::Failure;
use crate::options::is_switch;
use crate::zend;
use ext_php_rs::ffi;
use ext_php_rs::flags::IniEntryPermission;
use ext_php_rs::zend::{IniEntryDef, ModuleEntry};
use std::ffi::{CStr, CString, c_void};
use std::sync::OnceLock;
use wsengine::{Config, OptionInfo, Value};

unsafe extern "C" {
    fn zend_ini_get_value(name: *mut ffi::zend_string) -> *mut ffi::zend_string;
    fn zend_unregister_ini_entries(module_number: i32);
    fn display_ini_entries(module: *mut ModuleEntry);
}

/// PHP refers to it for the life of the process.
static TABLE: OnceLock<Table> = OnceLock::new();

struct Table(Vec<IniEntryDef>);

// SAFETY: nobody changes the table once it is made, and what it points to lives as long as the process.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// The options that are settings. A secret is none: phpinfo() would show it.
fn settings() -> impl Iterator<Item = &'static OptionInfo> {
    Config::options().iter().filter(|option| option.value != Value::Secret)
}

/// Tells PHP of the settings. Only for module startup.
pub(crate) fn register(module_number: i32) {
    IniEntryDef::register(&TABLE.get_or_init(table).0, module_number);
}

fn table() -> Table {
    let mut entries = Vec::new();
    for option in settings() {
        // Our own words have no NUL byte.
        let permanent = |text: &str| Box::<CStr>::leak(CString::new(text).unwrap_or_default().into());
        let (name, default) = (permanent(&setting(option.name)), permanent(option.default));
        let mut entry = IniEntryDef::new(name, default, IniEntryPermission::All);
        entry.on_modify = Some(modified);
        entries.push(entry);
    }
    entries.push(IniEntryDef::end());
    Table(entries)
}

/// A setting is looked at when a server starts, so any will do now. Without this PHP's ini_restore() does nothing.
extern "C" fn modified(
    _entry: *mut ffi::zend_ini_entry,
    _value: *mut ffi::zend_string,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _stage: i32,
) -> i32 {
    ffi::ZEND_RESULT_CODE_SUCCESS
}

/// Only for module shutdown.
pub(crate) fn unregister(module_number: i32) {
    // SAFETY: the number that PHP gave for this module.
    unsafe { zend_unregister_ini_entries(module_number) };
}

/// Prints the settings into phpinfo().
pub(crate) fn print(module: *mut ModuleEntry) {
    // SAFETY: the module that PHP asks about.
    unsafe { display_ini_entries(module) };
}

/// The options as the settings have them.
pub(crate) fn config() -> Result<Config, Failure> {
    let mut config = Config::new();
    for option in settings() {
        let setting = setting(option.name);
        let text = value(&setting);
        // php.ini makes 1 of "on", and nothing of "off" and "none", which here is the default where neither is allowed.
        match text.as_str() {
            "" => drop(config.set(option.name, "none").or_else(|_| config.set(option.name, "off"))),
            text => {
                let text = if is_switch(option.name) { switched(text) } else { text };
                let named = |error| Failure::Config(format!("INI setting {setting}: {error}"));
                config.set(option.name, text).map_err(named)?;
            }
        }
    }
    Ok(config)
}

fn switched(text: &str) -> &str {
    match text {
        "1" => "on",
        "0" => "off",
        text => text,
    }
}

fn setting(option: &str) -> String {
    format!("wsengine.{option}")
}

fn value(setting: &str) -> String {
    let name = zend::string(setting.as_bytes());
    // SAFETY: a live string, released after its use; the value is PHP's own and copied at once.
    unsafe {
        let value = zend_ini_get_value(name);
        let text = if value.is_null() { "".into() } else { String::from_utf8_lossy(zend::bytes_of(value)) };
        let text = text.into_owned();
        ffi::ext_php_rs_zend_string_release(name);
        text
    }
}
