//! Both command lines: what can be written, what it means, and which of it has no effect together. One file a program
//! and a command of `pcap-slim`.
//!
//! Apart from the binaries so that help, man pages and tests have one source. Flags are the configuration
//! file's keys with hyphens, and their words are those of `words::Word`. Nothing here looks at the file
//! system: that a directory is missing is found by `oneshot` or `daemon`.

mod explain;
mod policy;
mod restore;
mod slim;
mod slimd;
mod stream;
mod trace;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::words::Word;
pub use explain::Explain;
pub use restore::Restore;
pub use slim::{Slim, SlimCommand};
pub use slimd::{Slimd, SlimdCommand};
pub use stream::Stream;
pub use trace::{Trace, Verify};

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
