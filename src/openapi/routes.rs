//! The routes of a table of operations.

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{Resource, web};

use crate::http::bearer::operator_tokens::require_role;
use crate::http::responses::wrong_method;
use crate::openapi::api_operation::ApiOperation;

/// The meaning of a slash at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailingSlash {
    /// The path is the same with it.
    Ignored,
    /// The path is another one with it.
    Counts,
}

/// Returns the resources of these operations, in the order in which their paths first stand in the table. Other methods of such a path
/// are refused.
pub fn resources(operations: &[ApiOperation], slash: TrailingSlash) -> Vec<Resource> {
    let mut paths: Vec<&'static str> = Vec::new();
    for operation in operations {
        if !paths.contains(&operation.path) {
            paths.push(operation.path);
        }
    }
    paths.into_iter().map(|path| resource(path, operations, slash)).collect()
}

fn resource(path: &'static str, operations: &[ApiOperation], slash: TrailingSlash) -> Resource {
    let patterns = match slash {
        TrailingSlash::Ignored => vec![path.to_owned(), format!("{path}/")],
        TrailingSlash::Counts => vec![path.to_owned()],
    };
    let mut resource = web::resource(patterns);
    let mut methods = Vec::new();
    for operation in operations.iter().filter(|operation| operation.path == path) {
        methods.push(operation.method.as_str().to_owned());
        for route in &operation.routes {
            let handled = route(web::method(operation.method.clone()));
            resource = resource.route(match operation.role {
                Some(role) => handled.wrap(from_fn(move |request, next| require_role(role, request, next))),
                None => handled,
            });
        }
    }
    methods.sort();
    let allowed: Arc<str> = methods.join(", ").into();
    resource.default_service(web::to(move || {
        let allowed = Arc::clone(&allowed);
        async move { wrong_method(&allowed) }
    }))
}
