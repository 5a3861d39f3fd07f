//! The tables in the file.
//!
//! A row of most tables is a row of the file. Of the tables whose rows are appended in the order of their keys and are removed from the
//! front (`tables::blocks_of`), a checkpoint writes blocks: values of about 32 KiB that hold the rows between two keys, under the
//! key of their last row. A block costs one insertion and one write of a page, where its rows would cost forty insertions and the
//! writes of eight pages. What a block loses or gains later rewrites the block.
//!
//! Rows of other tables are appended next to each other most of the time, as PDUs of one origin are, and come between others at times.
//! Of these a checkpoint writes runs in blocks and all other rows alone (`tables::BlockUse`), so that one which comes between others does
//! not cause a whole block to be written.
//!
//! - `row_block`: the encoding of a block. `row_place`: a key or a value in it. `file_table`: the table as a reader sees it.
//!   `file_range`: the rows of a range, in one direction. `block_writer`: what a checkpoint does to the blocks. `run_search`: when it looks
//!   for a run. `opening_table`: the keys that an opening reads.
//!
//! The blocks of a table do not overlap. A row is in a block or is a row of the file: stores of the schema version before have
//! rows of the file, and so do new backups and imports. A checkpoint that writes such a row anew takes it out of there.

pub(crate) mod block_writer;
pub(crate) mod file_range;
pub(crate) mod file_table;
pub(crate) mod opening_table;
pub(crate) mod row_block;
pub(crate) mod row_place;
pub(crate) mod run_search;
