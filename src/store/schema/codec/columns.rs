//! The values of the tables as structs: one field a column. A row is encoded as the tuple of its columns.

use redb::{TypeName, Value};

/// Makes structs of columns the values of tables. The encoding, and the type name in the file, are those of the tuple of
/// the columns, so another order of columns is another schema.
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

/// The item number of an update that no other row needs: its text is in the row itself.
pub(crate) const IN_ROW: u64 = u64::MAX;

columns! {
    /// The place in quarantine of a PDU from a server that does not participate.
    struct QuarantinePlace {
        /// Number of the row in the sender's `quarantine`.
        number: u64,
        /// Order of arrival: the epoch, and the number within the epoch.
        epoch: u64,
        arrival: u64,
    }
}

columns! {
    /// A row of the feed, one layout for all kinds: columns that a kind does not use are 0 or empty. `codec::feed` defines
    /// the content of each column.
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
        /// Origin and id of the composed PDU; empty if the submission became none.
        origin: &'a str,
        id: &'a str,
    }

    /// An inbound item in quarantine.
    struct QuarantineValue<'a> {
        time: u64,
        /// Sequence number of an update; 0 for a PDU.
        seq: u64,
        /// JSON that identifies a PDU; empty for an update.
        what: &'a [u8],
        code: &'a str,
        reason: &'a str,
        bytes: &'a [u8],
    }

    /// An event that the messenger refused.
    struct RefusedEventValue<'a> {
        time: u64,
        reason: &'a str,
        /// JSON of the event.
        bytes: &'a [u8],
    }

    /// A refused event that is pushed again.
    struct ReleasedEventValue<'a> {
        position: u64,
        /// Newest position at the release.
        after: u64,
        /// JSON of the event.
        bytes: &'a [u8],
    }

    /// An item in an outbox. An update for several servers has an item number; one for a single server has [`IN_ROW`], and its
    /// text as the id; a PDU has 0, an origin and an id; a forward has an item number, its origin, and its destination as the id.
    struct OutboxValue<'a> {
        queued: u64,
        /// Bytes ever queued for the server up to and including this row, so that the backlog's size takes two lookups,
        /// however long the queue is.
        queued_bytes: u64,
        /// True if the item was requeued.
        again: bool,
        item: u64,
        origin: &'a str,
        id: &'a str,
        submission: &'a str,
    }

    /// The bytes of an update.
    struct ItemValue<'a> {
        /// Number of rows of `outbox` and `dead_letters` that refer to the item.
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

    /// A failed delivery attempt.
    struct AttemptValue<'a> {
        time: u64,
        first: u64,
        last: u64,
        /// Result for people. A failure with a code has it as a first line, so that rows without one stay readable.
        result: &'a str,
    }

    /// A PDU. Without bytes it is pruned: see `write::context::pdus`.
    struct PduValue<'a> {
        context: &'a str,
        delivered: bool,
        /// Depth computed here; its highest bit is set if the PDU was delivered as history.
        depth: u64,
        /// Server that sent the PDU.
        sender: &'a str,
        verified: &'a str,
        /// Arrival time, or the delivery time once the PDU is delivered.
        since: u64,
        prev: &'a [u8],
        bytes: &'a [u8],
    }

    /// The parents that a held PDU waits for. The first two columns are the order of arrival: each opening has a higher
    /// epoch than earlier ones, so the count restarts without a read.
    struct HeldValue<'a> {
        epoch: u64,
        /// Number of arrival since that opening.
        arrival: u64,
        /// True if the PDU is at the edge of history.
        edge: bool,
        /// Depth from the delivered parents; its highest bit is set if only state depends on the PDU.
        depth: u64,
        /// State that the PDU sets; empty if it is not state.
        slot: &'a [u8],
        missing: &'a [u8],
    }

    /// A parent that was given up.
    struct GapValue<'a> {
        /// True if the parent is beyond the edge of history.
        edge: bool,
        /// Children delivered without it.
        children: &'a [u8],
    }

    /// The columns of a state PDU that state resolution compares. Texts are empty if they do not apply.
    struct PieceValue<'a> {
        power: i64,
        /// Origin and id of its `prev_state`.
        prev_origin: &'a str,
        prev_id: &'a str,
        /// Status of that `prev_state` link.
        link: u8,
        /// Server of the user whose membership it sets.
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

    /// A transaction accepted from a peer.
    struct SeenValue<'a> {
        id: &'a str,
        digest: &'a [u8; 16],
        /// JSON of the verdicts.
        verdicts: &'a [u8],
    }

    /// A forward that was taken or passed on.
    struct SeenForwardValue<'a> {
        time: u64,
        id: &'a str,
    }

    /// A forwarded update that waits.
    struct HeldForwardValue<'a> {
        digest: &'a [u8; 16],
        /// True if the bytes are those of a PDU, and not those of the whole update.
        is_pdu: bool,
        bytes: &'a [u8],
    }

    /// A staged PDU.
    struct StageValue<'a> {
        origin: &'a str,
        id: &'a str,
        /// Proof by which the sender was authenticated.
        verified: &'a str,
        /// Arrival time.
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
