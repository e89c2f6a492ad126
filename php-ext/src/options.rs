//! A script's options as the engine's: array keys are the names of the engine's table, values become its text.
//! The engine checks them; here is only what is PHP's, the types.

use crate::args::ArrayOrBytes;
use crate::exception::Failure;
use crate::ini;
use ext_php_rs::types::{ArrayKey, ZendHashTable, Zval};
use wsengine::{Config, Value};

/// Options from the argument of `ws_server_start`: an array of them, or just where to listen.
pub(crate) fn config(options: Option<ArrayOrBytes<'_>>) -> Result<Config, Failure> {
    let mut config = ini::config()?;
    match options {
        None => {}
        Some(ArrayOrBytes::Bytes(listen)) => config.set("listen", text("listen", listen)?)?,
        Some(ArrayOrBytes::Array(options)) => {
            for (key, value) in options {
                set(&mut config, key, value)?;
            }
        }
    }
    Ok(config)
}

fn set(config: &mut Config, key: ArrayKey<'_>, value: &Zval) -> Result<(), Failure> {
    let name = match key {
        ArrayKey::Long(index) => {
            let text = format!(
                "options have names, as in ['listen' => '127.0.0.1:8080']; the one with the key {index} has none"
            );
            return Err(Failure::Config(text));
        }
        name => name.to_string(),
    };
    match value_text(&name, value.dereference())? {
        Some(value) => config.set(&name, &value)?,
        // An unknown name is an error with any value.
        None if Config::options().iter().all(|option| option.name != name) => config.set(&name, "")?,
        None => {}
    }
    Ok(())
}

/// The value as the engine's table wants it; None for null, which means the default, the
/// administrator's or else the engine's.
fn value_text(name: &str, value: &Zval) -> Result<Option<String>, Failure> {
    if value.is_null() {
        return Ok(None);
    }
    if let Some(list) = value.array() {
        return list_text(name, list).map(Some);
    }
    match scalar_text(name, value)? {
        Some(text) => Ok(Some(text)),
        None => Err(wrong_type(name, &format!("of type {}", type_name(value)))),
    }
}

/// Whole numbers may come as floats, such as 1e6, and on and off as true and false.
fn scalar_text(name: &str, value: &Zval) -> Result<Option<String>, Failure> {
    if let Some(string) = value.zend_str() {
        return text(name, string.as_bytes()).map(|text| Some(text.to_owned()));
    }
    if let Some(bool) = value.bool()
        && is_switch(name)
    {
        return Ok(Some(if bool { "on" } else { "off" }.into()));
    }
    if let Some(int) = value.long() {
        return Ok(Some(int.to_string()));
    }
    if let Some(float) = value.double() {
        if float.fract() != 0.0 || !float.is_finite() {
            return Err(wrong_type(name, &format!("of type float that is not whole, {float},")));
        }
        return Ok(Some(format!("{float}")));
    }
    Ok(None)
}

pub(crate) fn is_switch(name: &str) -> bool {
    Config::options().iter().any(|option| option.name == name && option.value == Value::Switch)
}

fn list_text(name: &str, list: &ZendHashTable) -> Result<String, Failure> {
    let mut items = Vec::with_capacity(list.len());
    for (_, item) in list {
        let item = item.dereference();
        let Some(string) = item.zend_str() else {
            return Err(wrong_type(name, &format!("of type array with an item of type {}", type_name(item))));
        };
        let item = text(name, string.as_bytes())?;
        if item.contains(',') {
            return Err(wrong_type(name, &format!("of type array with an item that has a comma, {item:?},")));
        }
        items.push(item);
    }
    Ok(items.join(","))
}

fn text<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|_| wrong_type(name, "of type string that is not UTF-8"))
}

/// An error in the words of the engine's own.
fn wrong_type(name: &str, what: &str) -> Failure {
    match Config::options().iter().find(|option| option.name == name) {
        Some(option) => Failure::Config(format!(
            "option \"{name}\": a value {what} is not allowed; allowed is {}",
            option.allowed
        )),
        // The engine has the words for a name that it does not know.
        None => Config::new().set(name, "").map_or_else(Failure::from, |()| Failure::Config(name.to_owned())),
    }
}

/// The type of a value in PHP's words.
pub(crate) fn type_name(value: &Zval) -> &'static str {
    match () {
        () if value.is_null() => "null",
        () if value.is_bool() => "bool",
        () if value.is_long() => "int",
        () if value.is_double() => "float",
        () if value.is_string() => "string",
        () if value.is_array() => "array",
        () if value.is_object() => "object",
        () => "resource",
    }
}
