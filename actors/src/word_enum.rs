//! Enums of fixed words, as they stand in rows, events and answers.

/// Declares an enum in which each variant stands for a word, with both directions: `as_str` and `from_word`. One list makes both, so
/// that a variant whose word cannot be read back does not compile.
macro_rules! word_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// Returns the word of this value.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word, )+ }
            }

            /// Returns the value of a word; `None`: no value has it.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some(Self::$variant), )+ _ => None }
            }
        }
    };
}

pub(crate) use word_enum;
