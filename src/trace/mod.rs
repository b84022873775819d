//! The slim trace: what was cut from a capture, by which rule, and where each packet went.
//!
//! A [`Writer`] follows a pass as its sink and hands out the trace's bytes as they come; a [`Reader`] answers from any
//! [`Storage`], and trusts nothing in it before it has been verified. How the bytes lie is in [`mod@format`] and, for other
//! programs, in packaging/man/slimtrace.5. No file is opened here: `job` stores what a writer hands out, `provenance`
//! reads it for people.
//!
//! Positions count bytes of the capture as packets are read from it: of a compressed one, bytes of what it unpacks to.

mod block;
mod chunk;
mod columns;
mod error;
mod footer;
pub mod format;
mod locate;
mod reader;
mod scan;
mod writer;

pub use chunk::{Chunk, Row, Rows, Statistics};
pub use error::Error;
pub use format::{CaptureHeader, Event, Header};
pub use locate::{Located, Side};
pub use reader::{Reader, Storage};
pub use writer::{Writer, check};
