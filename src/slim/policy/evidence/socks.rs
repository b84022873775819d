//! SOCKS: a connection through a proxy is kept whole.
//!
//! Readers tell the proxy's request with every later packet that they can follow, and a hole in the stream ends that.
//! Sources: the SOCKS 4 memo for `CONNECT`, RFC 1928 section 3 for the greeting of version 5.

use super::probe::Probe;

const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
/// Version, command, port, address, and a user id that ends in zero.
const LEAST_REQUEST: usize = 9;
const COMMANDS: std::ops::RangeInclusive<u8> = 1..=2;

/// Whether a segment is a client's first message, and nothing else.
pub(super) fn probe(bytes: &[u8]) -> Probe<()> {
    let is_socks = match bytes {
        [VERSION_4, command, .., 0] => COMMANDS.contains(command) && bytes.len() >= LEAST_REQUEST,
        [VERSION_5, methods, rest @ ..] => *methods > 0 && rest.len() == usize::from(*methods),
        _ => false,
    };
    if is_socks {
        Probe::Certain(())
    } else {
        Probe::NotForUs
    }
}
