//! The rows of a store as lines of JSON: a form that other programs can read, and that no version of the storage engine changes.
//!
//! The first line names the format, the schema and the server; each further line is a row; the last one has the number of rows of each table
//! and a digest of all lines before it. So a file that was cut or changed is recognized.

pub(crate) mod export;
pub(crate) mod import;
mod line;
