//! The pages of the dashboard: their content, the access to them, and the forms that change something.

mod access;
mod forms;
mod pages;
mod visit;
