//! One operation of an API: its route, and what its document says of it.

use actix_web::Route;
use actix_web::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::refusals::RefusalSet;
use crate::openapi::schema_book::{SchemaOf, inline, reference};

/// Media type of most bodies.
const JSON: &str = "application/json";

/// An operation: a method of a path.
#[derive(Debug, Clone)]
pub struct ApiOperation {
    pub(super) method: Method,
    /// Path below that of the API.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Handlers of the operation. Each but the last has a guard, and the first whose guard agrees is called.
    pub(super) routes: Vec<fn(Route) -> Route>,
    /// Objects whose members are the keys of the query.
    pub(super) queries: Vec<SchemaOf>,
    /// Further parameters, as their entries in the list.
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<RequestBodyShape>,
    pub(super) answers: Vec<AnswerShape>,
    pub(super) refusals: Vec<RefusalSet>,
    /// True if it needs no token.
    pub(super) is_open: bool,
    /// True if an answer may be that of another server, of which nothing is known.
    pub(super) passes_on: bool,
    /// Role that its caller needs; `None`: the tokens of the API have no roles.
    pub(super) role: Option<OperatorRole>,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestBodyShape {
    pub(super) schema: SchemaOf,
    pub(super) examples: Vec<(&'static str, Value)>,
}

/// An answer that is no refusal.
#[derive(Debug, Clone)]
pub(super) struct AnswerShape {
    pub(super) status: u16,
    pub(super) description: &'static str,
    /// Media types of its body, and the schema of each.
    pub(super) content: Vec<(&'static str, SchemaOf)>,
}

impl ApiOperation {
    fn new(method: Method, path: &'static str, summary: &'static str, route: fn(Route) -> Route) -> Self {
        Self {
            method,
            path,
            summary,
            routes: vec![route],
            queries: Vec::new(),
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            refusals: Vec::new(),
            is_open: false,
            passes_on: false,
            role: None,
        }
    }

    /// Returns an operation that reads. `route` adds the handler.
    pub fn get(path: &'static str, summary: &'static str, route: fn(Route) -> Route) -> Self {
        Self::new(Method::GET, path, summary, route)
    }

    /// Returns an operation that may be repeated.
    pub fn put(path: &'static str, summary: &'static str, route: fn(Route) -> Route) -> Self {
        Self::new(Method::PUT, path, summary, route)
    }

    /// Returns an operation that acts.
    pub fn post(path: &'static str, summary: &'static str, route: fn(Route) -> Route) -> Self {
        Self::new(Method::POST, path, summary, route)
    }

    /// Adds a handler that is called instead if its guard agrees.
    #[must_use]
    pub fn or_if_guarded(mut self, route: fn(Route) -> Route) -> Self {
        self.routes.insert(0, route);
        self
    }

    /// Adds the query of a handler: each member of this type is a key.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        self.queries.push(inline::<T>);
        self
    }

    /// Adds a parameter in a `header`, or a key of the `query` that no type has.
    #[must_use]
    pub fn parameter(mut self, place: &str, name: &str, description: &str, schema: &Value) -> Self {
        self.parameters.push(json!({ "name": name, "in": place, "description": description, "schema": schema }));
        self
    }

    /// Adds a body of this type, with an example.
    #[must_use]
    pub fn body<T: JsonSchema>(mut self, example: Value) -> Self {
        self.body = Some(RequestBodyShape { schema: reference::<T>, examples: vec![("example", example)] });
        self
    }

    /// Adds a further example of the body.
    #[must_use]
    pub fn example(mut self, name: &'static str, example: Value) -> Self {
        if let Some(body) = &mut self.body {
            body.examples.push((name, example));
        }
        self
    }

    /// Adds an answer of this type.
    #[must_use]
    pub fn answers<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers_in(status, description, vec![(JSON, reference::<T>)])
    }

    /// Adds an answer of one of two types.
    #[must_use]
    pub fn answers_either<One: JsonSchema, Other: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        self.answers_in(status, description, vec![(JSON, either::<One, Other>)])
    }

    /// Adds an answer without a body.
    #[must_use]
    pub fn answers_nothing(self, status: u16, description: &'static str) -> Self {
        self.answers_in(status, description, Vec::new())
    }

    /// Adds an answer with a body in each of these media types.
    #[must_use]
    pub fn answers_in(
        mut self,
        status: u16,
        description: &'static str,
        content: Vec<(&'static str, SchemaOf)>,
    ) -> Self {
        self.answers.push(AnswerShape { status, description, content });
        self
    }

    /// Adds refusals.
    #[must_use]
    pub fn refuses(mut self, sets: &[RefusalSet]) -> Self {
        self.refusals.extend(sets);
        self
    }

    /// Marks an operation that needs no token.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Marks an operation that passes on the answers of another server.
    #[must_use]
    pub fn passing_on(mut self) -> Self {
        self.passes_on = true;
        self
    }

    /// Sets the role that its caller needs.
    #[must_use]
    pub fn needs(mut self, role: OperatorRole) -> Self {
        self.role = Some(role);
        self
    }

    /// Gives it a role unless it has one: reading needs the lowest one, and everything else the highest one, so that a new call is never
    /// open by mistake.
    #[must_use]
    pub fn with_role(mut self) -> Self {
        let role = if self.method == Method::GET { OperatorRole::Read } else { OperatorRole::Administer };
        self.role = self.role.or(Some(role));
        self
    }

    /// Returns the role that its caller needs.
    pub fn role(&self) -> Option<OperatorRole> {
        self.role
    }

    /// Returns its method and its path below that of the API.
    pub fn name(&self) -> (&Method, &'static str) {
        (&self.method, self.path)
    }
}

fn either<One: JsonSchema, Other: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let choices = [reference::<One>(generator), reference::<Other>(generator)];
    schemars::json_schema!({ "anyOf": choices })
}

/// Returns the schema of a text that is no JSON.
pub fn plain_text(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string" })
}
