//! What one peer may do at most. The defaults are those of the option table in the engine.

use std::time::Duration;

/// Limits and intervals of an open connection, shared by all connections of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest message, in bytes of payload over all its fragments. Over it: close code 1009.
    pub max_message_bytes: usize,
    /// Most fragments of one message, empty ones too; at least 1. Over it: close code 1008.
    pub max_fragments: u32,
    /// Control frames per second in the long run; bursts of twice as many pass. Over it: close code 1008.
    /// 0 switches the limit off. Close frames and the answers to our pings are not counted.
    pub max_control_frames_per_s: u32,
    /// A ping is sent when nothing was received for so long. Zero: never.
    pub ping_interval: Duration,
    /// A peer that was silent for so long after a ping is dead: close code 1006.
    pub pong_timeout: Duration,
    /// A peer that sent no message for so long gets close code 1001. Zero: never.
    pub idle_timeout: Duration,
    /// How long the peer has to answer a close frame before its connection is cut.
    pub close_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_bytes: 1 << 20,
            max_fragments: 1_024,
            max_control_frames_per_s: 50,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(10),
            idle_timeout: Duration::ZERO,
            close_timeout: Duration::from_secs(5),
        }
    }
}
