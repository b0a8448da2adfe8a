//! Free TCP ports on 127.0.0.1.
//!
//! They are taken from below the range the kernel gives to outgoing connections, so that a server
//! that is stopped finds its port free again when it is started again.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;
use rand::Rng as _;

/// Above the ports of well-known services, below Linux' default `ip_local_port_range`.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Attempts before we conclude that something else is wrong.
const ATTEMPTS: usize = 200;

/// A port that nobody listens on at this moment. Whoever uses it must be ready to lose a race.
pub(super) fn free() -> anyhow::Result<u16> {
    let mut random = rand::rng();
    for _ in 0..ATTEMPTS {
        let port = random.random_range(RANGE);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}
