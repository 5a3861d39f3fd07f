//! What the compiler does not check of the code's form: files, folders, imports, names and log lines.

mod circles;
mod documents;
mod files;
mod imports;
mod layers;
mod lines;
mod names;
mod sources;
