//! Rules on the code's form that the compiler does not check: files, folders, imports, names and log lines.

mod circles;
mod codes;
mod documents;
mod files;
mod impls;
mod imports;
mod layers;
mod lines;
mod metric_names;
mod names;
mod sources;
