//! The C face of the engine: converts arguments, calls, converts the answer. `include/wsengine.h` is generated from
//! these files, functions in the order of the modules below; the doc comments here are what a C programmer reads.
//!
//! Every exported function runs inside [`boundary`], which keeps panics, NULL handles, forked children and log functions
//! out.

// Names here are the names in C, and the contract of a function stands in the header for its callers.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

pub mod version;

pub mod error;

pub mod config;
pub mod log;
pub mod option;

pub mod server;

pub mod event;
pub mod handshake;
pub mod send;
pub mod stats;
pub mod topic;

mod boundary;
mod gate;
mod user_data;
