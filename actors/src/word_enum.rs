//! Enums of fixed words, as they are written in rows, events and answers.

/// Declares an enum in which each variant stands for a word, with both directions, `as_str` and `from_word`, and `ALL`. One
/// list makes all three, so a variant without a word, or one whose word cannot be read back, does not compile. Tests of all
/// words use `ALL`.
macro_rules! word_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_meta])* $variant, )+ }

        impl $name {
            /// All values, in the order of the list.
            pub const ALL: &[Self] = &[ $( Self::$variant, )+ ];

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
