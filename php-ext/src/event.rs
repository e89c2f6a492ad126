//! The objects that scripts receive: `WsEngine\Event`, `WsEngine\Request` and `WsEngine\ServerInfo`. Final, with
//! typed readonly properties, made only here; their slots are written in the order in which they are declared.

use crate::zend::{self, Bytes, ClassEntry, Entry, List, Permanent, Slot, Type};
use ext_php_rs::types::Zval;
use wsengine::{Event, EventBody, Kind, Request, Server};

static EVENT: Permanent<ClassEntry> = Permanent::new();
static REQUEST: Permanent<ClassEntry> = Permanent::new();
static SERVER_INFO: Permanent<ClassEntry> = Permanent::new();
static EMPTY: Permanent<Bytes> = Permanent::new();
/// The method of every opening handshake (RFC 6455, section 4.1).
static GET: Permanent<Bytes> = Permanent::new();

/// The values of `Event::$type` and the constants they are named by.
static TYPES: [(&str, &str, Permanent<Bytes>); 8] = [
    ("HANDSHAKE", "handshake", Permanent::new()),
    ("OPEN", "open", Permanent::new()),
    ("MESSAGE", "message", Permanent::new()),
    ("CLOSE", "close", Permanent::new()),
    ("DRAIN", "drain", Permanent::new()),
    ("ERROR", "error", Permanent::new()),
    ("STOPPED", "stopped", Permanent::new()),
    ("BACKPLANE", "backplane", Permanent::new()),
];
const HANDSHAKE: usize = 0;
const OPEN: usize = 1;
const MESSAGE: usize = 2;
const CLOSE: usize = 3;
const DRAIN: usize = 4;
const ERROR: usize = 5;
const STOPPED: usize = 6;
const BACKPLANE: usize = 7;

/// Registers the classes. Only for module startup.
pub(crate) fn register() {
    let request = [
        ("method", Type::STRING),
        ("path", Type::STRING),
        ("query", Type::STRING),
        ("headers", Type::ARRAY),
        ("cookies", Type::ARRAY),
        ("peer", Type::STRING),
        ("origin", Type::STRING_OR_NULL),
        ("subprotocols", Type::ARRAY),
        ("subprotocol", Type::STRING_OR_NULL),
        ("tls", Type::BOOL),
    ];
    REQUEST.set(zend::readonly_class("WsEngine\\Request", &request));

    let event = [
        ("type", Type::STRING),
        ("conn", Type::INT),
        ("data", Type::STRING_OR_NULL),
        ("binary", Type::BOOL),
        ("code", Type::INT),
        ("clean", Type::BOOL),
        ("request", Type::ClassOrNull("WsEngine\\Request")),
    ];
    EVENT.set(zend::readonly_class("WsEngine\\Event", &event));
    for (constant, value, string) in &TYPES {
        string.set(zend::interned(value));
        zend::string_constant(EVENT.get(), constant, string.get());
    }

    let server_info = [("address", Type::STRING), ("port", Type::INT), ("addresses", Type::ARRAY)];
    SERVER_INFO.set(zend::readonly_class("WsEngine\\ServerInfo", &server_info));
    EMPTY.set(zend::interned(""));
    GET.set(zend::interned("GET"));
}

/// A `WsEngine\Event`.
#[inline]
pub(crate) fn write_event(event: &Event<'_>, into: Slot<'_>) {
    let conn = event.conn.map_or(0, |conn| conn.as_u64() as i64);
    match event.body {
        EventBody::Message { kind, data } => {
            let fields =
                Fields { data: Some(data), binary: kind == Kind::Binary, ..Fields::of(MESSAGE, conn) };
            write(fields, into);
        }
        EventBody::Handshake(request) => {
            write(Fields { request: Some(request), ..Fields::of(HANDSHAKE, conn) }, into);
        }
        EventBody::Open(request) => write(Fields { request: Some(request), ..Fields::of(OPEN, conn) }, into),
        EventBody::Close { code, reason, clean } => {
            let (data, code) = (Some(reason.as_bytes()), i64::from(code));
            write(Fields { data, code, clean, ..Fields::of(CLOSE, conn) }, into);
        }
        EventBody::Drain { dropped } => {
            let code = i64::try_from(dropped).unwrap_or(i64::MAX);
            write(Fields { code, ..Fields::of(DRAIN, conn) }, into);
        }
        EventBody::Error { errno, message } => {
            let (data, code) = (Some(message.as_bytes()), i64::from(errno));
            write(Fields { data, code, ..Fields::of(ERROR, conn) }, into);
        }
        EventBody::Backplane { up, gap, reason } => {
            let (data, code, clean) = (Some(reason.as_bytes()), i64::from(up), up && !gap);
            write(Fields { data, code, clean, ..Fields::of(BACKPLANE, conn) }, into);
        }
        EventBody::Stopped => write(Fields::of(STOPPED, conn), into),
    }
}

/// The properties of an event before PHP has them.
struct Fields<'a> {
    kind: usize,
    conn: i64,
    data: Option<&'a [u8]>,
    binary: bool,
    code: i64,
    clean: bool,
    request: Option<&'a Request>,
}

impl Fields<'_> {
    #[inline]
    fn of(kind: usize, conn: i64) -> Self {
        Fields { kind, conn, data: None, binary: false, code: 0, clean: false, request: None }
    }
}

#[inline(always)]
fn write(fields: Fields<'_>, into: Slot<'_>) {
    // Both may end the script for want of memory, so they are made before the object.
    let data = fields.data.map(zend::string);
    let mut request = Zval::null();
    if let Some(value) = fields.request {
        write_request(value, Slot::of(&mut request));
    }
    let fill = |[kind, conn, text, binary, code, clean, request_slot]: [Slot<'_>; 7]| {
        kind.interned(TYPES[fields.kind].2.get());
        conn.int(fields.conn);
        text.string_or_null(data);
        binary.bool(fields.binary);
        code.int(fields.code);
        clean.bool(fields.clean);
        request_slot.take(request);
    };
    zend::object(EVENT.get(), fill, into);
}

/// A `WsEngine\Request`.
fn write_request(request: &Request, into: Slot<'_>) {
    let mut headers = Zval::null();
    zend::map(headers_of(request).into_iter(), Slot::of(&mut headers));
    let mut cookies = Zval::null();
    zend::map(cookies_of(request).into_iter(), Slot::of(&mut cookies));
    let mut subprotocols = Zval::null();
    let mut list = List::new(0, Slot::of(&mut subprotocols));
    request.offered_subprotocols().for_each(|name| list.push(|slot| slot.bytes(name.as_bytes())));
    let path = zend::string(request.path.as_bytes());
    let query = zend::string(request.query.as_bytes());
    let peer = zend::string(request.peer.to_string().as_bytes());
    let origin = request.origin().map(|origin| zend::string(origin.as_bytes()));
    let subprotocol = request.subprotocol.as_ref().map(|name| zend::string(name.as_bytes()));
    let fill = |slots: [Slot<'_>; 10]| {
        let [method, path_slot, query_slot, headers_slot, cookies_slot, peer_slot, rest @ ..] = slots;
        let [origin_slot, subprotocols_slot, subprotocol_slot, tls] = rest;
        method.interned(GET.get());
        path_slot.string(path);
        query_slot.string(query);
        headers_slot.take(headers);
        cookies_slot.take(cookies);
        peer_slot.string(peer);
        origin_slot.string_or_null(origin);
        subprotocols_slot.take(subprotocols);
        subprotocol_slot.string_or_null(subprotocol);
        tls.bool(request.tls);
    };
    zend::object(REQUEST.get(), fill, into);
}

/// Lower-case names with their values.
fn headers_of(request: &Request) -> Vec<(&str, Entry)> {
    let value_of = |name: &str| Entry::Bytes(request.header(name).unwrap_or_default().into_owned());
    request.headers.keys().map(|name| (name.as_str(), value_of(name.as_str()))).collect()
}

/// Cookies by name; of two with one name the first counts, as in `$_COOKIE`.
fn cookies_of(request: &Request) -> Vec<(String, Entry)> {
    let mut cookies: Vec<(String, Entry)> = Vec::new();
    for (name, value) in request.cookies() {
        let name = String::from_utf8_lossy(name);
        if cookies.iter().all(|(known, _)| *known != name) {
            cookies.push((name.into_owned(), Entry::Bytes(value.to_vec())));
        }
    }
    cookies
}

/// A `WsEngine\ServerInfo`.
pub(crate) fn write_server_info(server: &Server, into: Slot<'_>) {
    let mut addresses = Zval::null();
    let mut list = List::new(server.addresses().len(), Slot::of(&mut addresses));
    for address in server.addresses() {
        list.push(|slot| slot.bytes(address.as_bytes()));
    }
    let first = server.addresses().first().map(|address| zend::string(address.as_bytes()));
    let fill = |[address, port, addresses_slot]: [Slot<'_>; 3]| {
        match first {
            Some(first) => address.string(first),
            None => address.interned(EMPTY.get()),
        }
        port.int(i64::from(server.port()));
        addresses_slot.take(addresses);
    };
    zend::object(SERVER_INFO.get(), fill, into);
}
