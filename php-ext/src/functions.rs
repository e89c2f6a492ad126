//! The table of functions as Reflection shows it: names, parameters, types, defaults, results. What they do is in
//! `server`, `topics` and `handshake`.

use crate::{args, handshake, server, topics, zend};
use ext_php_rs::args::Arg;
use ext_php_rs::builders::{FunctionBuilder, ModuleBuilder};
use ext_php_rs::flags::DataType;
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ExecuteData;

/// Defines the function that PHP calls, around the one that does the work.
macro_rules! handlers {
    ($($name:ident => $body:path;)+) => {
        $(extern "C" fn $name(frame: &mut ExecuteData, result: &mut Zval) {
            args::run(frame, |args| $body(args, zend::Slot::of(result)));
        })+
    };
}

handlers! {
    ws_server_start => server::start;
    ws_poll_event => server::poll_event;
    ws_poll_events => server::poll_events;
    ws_send => server::send;
    ws_broadcast => server::broadcast;
    ws_subscribe => topics::subscribe;
    ws_unsubscribe => topics::unsubscribe;
    ws_publish => topics::publish;
    ws_members => topics::members;
    ws_presence => topics::presence;
    ws_accept => handshake::accept;
    ws_reject => handshake::reject;
    ws_close => server::close;
    ws_is_open => server::is_open;
    ws_connections => server::connections;
    ws_event_stream => server::event_stream;
    ws_stats => server::stats;
    ws_tls_reload => server::tls_reload;
    ws_server_stop => server::stop;
}

/// Adds all functions to the module.
pub(crate) fn add(module: ModuleBuilder) -> ModuleBuilder {
    let conn = || Arg::new("conn", DataType::Long);
    let data = || Arg::new("data", DataType::String);
    let binary = || Arg::new("binary", DataType::Bool).default("false");
    let except = || Arg::new("except", DataType::Array).default("[]");
    let topic = || Arg::new("topic", DataType::String);
    let headers = || Arg::new("headers", DataType::Array).default("[]");
    let timeout = || Arg::new("timeout", DataType::Double).default("-1.0");
    let event = DataType::object("WsEngine\\Event");
    let server_info = DataType::object("WsEngine\\ServerInfo");
    [
        FunctionBuilder::new("ws_server_start", ws_server_start)
            .not_required()
            .arg(Arg::new("options", DataType::Array).default("[]"))
            .returns(server_info, false, false),
        FunctionBuilder::new("ws_poll_event", ws_poll_event)
            .not_required()
            .arg(timeout())
            .returns(event, false, true),
        FunctionBuilder::new("ws_poll_events", ws_poll_events)
            .not_required()
            .arg(Arg::new("max", DataType::Long).default("256"))
            .arg(timeout())
            .returns(DataType::Array, false, false),
        FunctionBuilder::new("ws_send", ws_send)
            .arg(conn())
            .arg(data())
            .not_required()
            .arg(binary())
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_broadcast", ws_broadcast)
            .arg(data())
            .not_required()
            .arg(binary())
            .arg(except())
            .returns(DataType::Long, false, false),
        FunctionBuilder::new("ws_subscribe", ws_subscribe)
            .arg(conn())
            .arg(topic())
            .not_required()
            .arg(Arg::new("since", DataType::String).allow_null().default("null"))
            .arg(Arg::new("label", DataType::String).allow_null().default("null"))
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_unsubscribe", ws_unsubscribe).arg(conn()).arg(topic()).returns(
            DataType::Bool,
            false,
            false,
        ),
        FunctionBuilder::new("ws_publish", ws_publish)
            .arg(topic())
            .arg(data())
            .not_required()
            .arg(binary())
            .arg(except())
            .returns(DataType::Long, false, false),
        FunctionBuilder::new("ws_members", ws_members).arg(topic()).returns(DataType::Long, false, false),
        FunctionBuilder::new("ws_presence", ws_presence).arg(topic()).returns(DataType::Array, false, false),
        FunctionBuilder::new("ws_accept", ws_accept)
            .arg(conn())
            .not_required()
            .arg(Arg::new("subprotocol", DataType::String).allow_null().default("null"))
            .arg(headers())
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_reject", ws_reject)
            .arg(conn())
            .not_required()
            .arg(Arg::new("status", DataType::Long).default("403"))
            .arg(Arg::new("body", DataType::String).default("''"))
            .arg(headers())
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_close", ws_close)
            .arg(conn())
            .not_required()
            .arg(Arg::new("code", DataType::Long).default("1000"))
            .arg(Arg::new("reason", DataType::String).default("''"))
            .returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_is_open", ws_is_open).arg(conn()).returns(DataType::Bool, false, false),
        FunctionBuilder::new("ws_connections", ws_connections).returns(DataType::Array, false, false),
        FunctionBuilder::new("ws_event_stream", ws_event_stream),
        FunctionBuilder::new("ws_stats", ws_stats).returns(DataType::Array, false, false),
        FunctionBuilder::new("ws_tls_reload", ws_tls_reload).returns(DataType::Void, false, false),
        FunctionBuilder::new("ws_server_stop", ws_server_stop)
            .not_required()
            .arg(Arg::new("drain", DataType::Double).allow_null().default("null"))
            .returns(DataType::Void, false, false),
    ]
    .into_iter()
    .fold(module, ModuleBuilder::function)
}
