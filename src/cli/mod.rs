//! Both command lines: what can be written, what it means, and which of it has no effect together. One file a program
//! and a command of `pcap-slim`.
//!
//! Apart from the binaries so that help, man pages and tests have one source. Flags are the configuration
//! file's keys with hyphens, and their words are those of `words::Word`. Nothing here looks at the file
//! system: that a directory is missing is found by `oneshot` or `daemon`.

mod explain;
mod place;
mod policy;
mod restore;
mod slim;
mod slimd;
mod stream;
mod trace;

use std::io;
use std::ops::RangeInclusive;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::words::Word;
pub use explain::Explain;
pub use place::CheckPlace;
pub use restore::Restore;
pub use slim::{Slim, SlimCommand};
pub use slimd::{Slimd, SlimdCommand};
pub use stream::Stream;
pub use trace::{Trace, Verify};

/// Says what clap has to say, help or a mistake, and gives the exit status: 0, 2, or 1 where it could not be said.
#[must_use]
pub fn told(error: &clap::Error) -> u8 {
    match error.print() {
        Err(unsaid) if !error.use_stderr() && unsaid.kind() != io::ErrorKind::BrokenPipe => 1,
        _ => u8::try_from(error.exit_code()).unwrap_or(1),
    }
}

/// Takes the words of a choice.
fn one_of<W: Word>() -> impl TypedValueParser<Value = W> {
    let words = PossibleValuesParser::new(W::WORDS.iter().map(|&(word, _)| word));
    words.try_map(|word| W::parse(&word).ok_or("no such word"))
}

/// Takes a number in a range, which no NaN is in.
fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a number from {least} to {most}"))
}

/// Takes a whole number in a range.
fn within(range: RangeInclusive<u32>) -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(i64::from(*range.start())..=i64::from(*range.end()))
}
