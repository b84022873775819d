//! The words that a user writes for a choice: the same in the TOML file, on the command line and in the journal.
//!
//! Each choice is an enum where its behaviour lives and implements [`Word`] there; `cli` and `config` read and
//! print every such enum through this trait, so that a word cannot mean two things in two places.

/// An enum whose variants a user names by a word.
pub trait Word: Copy + PartialEq + Send + Sync + 'static {
    /// Every variant with its word, in the order in which help lists them.
    const WORDS: &'static [(&'static str, Self)];

    /// The variant that `word` names.
    fn parse(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|&(_, value)| value)
    }

    /// The word of this variant.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|&&(_, value)| value == self)
            .map_or("", |&(name, _)| name)
    }
}
