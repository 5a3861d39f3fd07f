//! The values of the tables as structs: one field a column. A row is encoded as the tuple of its columns.

use redb::{TypeName, Value};

/// Makes structs of columns the values of tables. The encoding and the type that the file names are those of the tuple of the
/// columns in their order, so a new order would be a new schema.
macro_rules! columns {
    ($($(#[$about:meta])* struct $name:ident<$life:lifetime> { $($(#[$why:meta])* $column:ident: $kind:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name<$life> {
            $($(#[$why])* pub(crate) $column: $kind,)*
        }

        const _: () = {
            type Columns<$life> = ($($kind,)*);

            impl Value for $name<'_> {
                type SelfType<'a> = $name<'a> where Self: 'a;
                type AsBytes<'a> = Vec<u8> where Self: 'a;

                fn fixed_width() -> Option<usize> {
                    <Columns<'static> as Value>::fixed_width()
                }

                fn from_bytes<'a>(data: &'a [u8]) -> $name<'a>
                where
                    Self: 'a,
                {
                    let ($($column,)*) = <Columns<'static> as Value>::from_bytes(data);
                    $name { $($column,)* }
                }

                fn as_bytes<'a, 'b: 'a>(value: &'a $name<'b>) -> Vec<u8>
                where
                    Self: 'b,
                {
                    let $name { $($column,)* } = *value;
                    <Columns<'static> as Value>::as_bytes(&($($column,)*))
                }

                fn type_name() -> TypeName {
                    <Columns<'static> as Value>::type_name()
                }
            }
        };
    )*};
    ($(#[$about:meta])* struct $name:ident { $($(#[$why:meta])* $column:ident: $kind:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name {
            $($(#[$why])* pub(crate) $column: $kind,)*
        }

        impl Value for $name {
            type SelfType<'a> = $name;
            type AsBytes<'a> = Vec<u8>;

            fn fixed_width() -> Option<usize> {
                <($($kind,)*) as Value>::fixed_width()
            }

            fn from_bytes<'a>(data: &'a [u8]) -> $name
            where
                Self: 'a,
            {
                let ($($column,)*) = <($($kind,)*) as Value>::from_bytes(data);
                $name { $($column,)* }
            }

            fn as_bytes<'a, 'b: 'a>(value: &'a $name) -> Vec<u8>
            where
                Self: 'b,
            {
                let $name { $($column,)* } = *value;
                <($($kind,)*) as Value>::as_bytes(&($($column,)*))
            }

            fn type_name() -> TypeName {
                <($($kind,)*) as Value>::type_name()
            }
        }
    };
}

columns! {
    /// Where a PDU of a server that takes no part lies in quarantine.
    struct QuarantinePlace {
        /// Its number in the sender's `quarantine`.
        number: u64,
        /// Order of arrival: the epoch, and the number within the epoch.
        epoch: u64,
        arrival: u64,
    }
}

columns! {
    /// A row of the feed, one layout for all kinds: columns that a kind does not use are 0 or empty. `codec::feed` says what each
    /// holds.
    struct FeedValue<'a> {
        kind: u8,
        time: u64,
        n: u64,
        seq: u64,
        server: &'a str,
        word: &'a str,
        note: &'a str,
        body: &'a [u8],
    }

    /// A submission.
    struct SubmissionValue<'a> {
        accepted: u64,
        digest: &'a [u8; 16],
        /// Number of items per server.
        items: u32,
        /// JSON of the indexes in the outboxes.
        places: &'a [u8],
        /// Origin and id of the PDU that was composed; empty if it became none.
        origin: &'a str,
        id: &'a str,
    }

    /// An inbound item in quarantine.
    struct QuarantineValue<'a> {
        time: u64,
        /// Sequence number of an update; 0 of a PDU.
        seq: u64,
        /// JSON that identifies a PDU; empty for an update.
        what: &'a [u8],
        code: &'a str,
        reason: &'a str,
        bytes: &'a [u8],
    }

    /// An item in an outbox. An update has an item number; a PDU has 0, an origin and an id.
    struct OutboxValue<'a> {
        queued: u64,
        /// Bytes ever queued for the server up to and including this row: the size of the backlog takes two lookups, however long
        /// the queue is.
        queued_bytes: u64,
        /// True if it was requeued.
        again: bool,
        item: u64,
        origin: &'a str,
        id: &'a str,
        submission: &'a str,
    }

    /// The bytes of an update.
    struct ItemValue<'a> {
        /// Number of rows of `outbox` and `dead_letters` that refer to it.
        names: u32,
        bytes: &'a [u8],
    }

    /// A dead letter; the last four columns are those of its outbox row.
    struct DeadLetterValue<'a> {
        kind: &'a str,
        removed: u64,
        reason: &'a str,
        item: u64,
        origin: &'a str,
        id: &'a str,
        submission: &'a str,
    }

    /// An attempt to deliver that failed.
    struct AttemptValue<'a> {
        time: u64,
        first: u64,
        last: u64,
        result: &'a str,
    }

    /// A PDU. Without bytes it is forgotten: see `forget`.
    struct PduValue<'a> {
        context: &'a str,
        delivered: bool,
        /// Depth computed here, with a highest bit where it came as history.
        depth: u64,
        /// Who handed it over.
        sender: &'a str,
        verified: &'a str,
        /// When it came, or once it is delivered when that was.
        since: u64,
        prev: &'a [u8],
        bytes: &'a [u8],
    }

    /// The parents that a held PDU waits for. The first two columns are the order of arrival: an opening's epoch is above all
    /// earlier ones, so nothing has to be read to go on counting.
    struct HeldValue<'a> {
        epoch: u64,
        /// Number since that opening.
        arrival: u64,
        /// True if it lies at the edge of history.
        edge: bool,
        /// Depth over the delivered parents, with a highest bit where only state rests on it.
        depth: u64,
        /// The state that it sets; empty if it is not state.
        slot: &'a [u8],
        missing: &'a [u8],
    }

    /// A parent that was given up.
    struct GapValue<'a> {
        /// True if it lies beyond the edge of history.
        edge: bool,
        /// Children delivered without it.
        children: &'a [u8],
    }

    /// What state resolution compares of a state PDU. Texts are empty if they do not apply.
    struct PieceValue<'a> {
        power: i64,
        /// Origin and id of the PDU that it replaces.
        prev_origin: &'a str,
        prev_id: &'a str,
        /// Status of that `prev_state` link.
        link: u8,
        /// Server of the member whose membership it sets.
        server: &'a str,
        /// True if that membership is a join.
        joins: bool,
    }

    /// The current state PDU of a key: its identity, and the columns of a [`PieceValue`].
    struct HolderValue<'a> {
        origin: &'a str,
        id: &'a str,
        power: i64,
        prev_origin: &'a str,
        prev_id: &'a str,
        link: u8,
        server: &'a str,
        joins: bool,
    }

    /// A transaction that was accepted.
    struct SeenValue<'a> {
        id: &'a str,
        digest: &'a [u8; 16],
        /// JSON of the verdicts.
        verdicts: &'a [u8],
    }

    /// A staged PDU.
    struct StageValue<'a> {
        origin: &'a str,
        id: &'a str,
        /// How its sender was proved.
        verified: &'a str,
        /// When it came.
        time: u64,
        bytes: &'a [u8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_encode_as_their_tuple() {
        type Tuple = (u64, u64, bool, u64, &'static str, &'static str, &'static str);
        let row =
            OutboxValue { queued: 1, queued_bytes: 2, again: true, item: 3, origin: "red", id: "$1", submission: "m" };
        let bytes = OutboxValue::as_bytes(&row);
        assert_eq!(bytes, Tuple::as_bytes(&(1, 2, true, 3, "red", "$1", "m")));
        assert_eq!(OutboxValue::from_bytes(&bytes), row);
        assert_eq!((OutboxValue::type_name(), OutboxValue::fixed_width()), (Tuple::type_name(), None));
    }
}
