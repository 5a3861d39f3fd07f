//! The description of an API as OpenAPI 3.1, and its routes: both come from one table of operations.
//!
//! An API has a table of [`ApiOperation`](api_operation::ApiOperation)s. [`routes`] makes resources of it,
//! [`api_document`] the document. So a call that is served is described, and the methods in `Allow` are those of
//! the table. The schemas are derived from the types that the handlers write and read. The refusals of an operation are listed
//! beside it, in sets that follow the error types of the core.

pub mod api_document;
pub mod api_operation;
pub mod api_webhook;
pub mod path_parameters;
pub mod refusals;
pub mod routes;
pub mod schema_book;
pub mod served_document;
