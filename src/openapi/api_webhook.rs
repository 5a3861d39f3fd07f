//! A call that the gateway makes at the messenger.

use actix_web::http::Method;
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::openapi::schema_book::{SchemaBook, SchemaOf, reference};

/// A webhook: a call whose receiver is the messenger.
#[derive(Debug, Clone)]
pub struct ApiWebhook {
    /// Name of the webhook.
    pub name: &'static str,
    /// Its method.
    pub method: Method,
    /// Its purpose and its path.
    pub description: &'static str,
    /// Entries of its parameters.
    pub parameters: Vec<Value>,
    /// The body that the gateway writes.
    pub body: Option<SchemaOf>,
    /// The answers that the gateway reads: status, meaning, body.
    pub answers: Vec<(&'static str, &'static str, Option<SchemaOf>)>,
}

impl ApiWebhook {
    /// Returns a webhook without parameters, body and answers.
    pub fn new(method: Method, name: &'static str, description: &'static str) -> Self {
        Self { name, method, description, parameters: Vec::new(), body: None, answers: Vec::new() }
    }

    /// Adds a parameter in the path (`path`) or a header (`header`).
    #[must_use]
    pub fn parameter(mut self, place: &str, name: &str, is_required: bool, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": place,
            "required": is_required,
            "description": description,
            "schema": { "type": "string" },
        }));
        self
    }

    /// Adds the body.
    #[must_use]
    pub fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(reference::<T>);
        self
    }

    /// Adds an answer: a status or a range of them such as `2XX`.
    #[must_use]
    pub fn answered(mut self, status: &'static str, description: &'static str) -> Self {
        self.answers.push((status, description, None));
        self
    }

    /// Adds an answer whose body is read.
    #[must_use]
    pub fn answered_with<T: JsonSchema>(mut self, status: &'static str, description: &'static str) -> Self {
        self.answers.push((status, description, Some(reference::<T>)));
        self
    }

    pub(super) fn item(&self, book: &mut SchemaBook) -> Value {
        let json_of = |schema: Value| json!({ "application/json": { "schema": schema } });
        let mut operation = json!({ "description": self.description, "parameters": self.parameters, "responses": {} });
        if let Some(schema) = self.body {
            operation["requestBody"] =
                json!({ "required": true, "content": json_of(schema(&mut book.written).to_value()) });
        }
        for (status, description, schema) in &self.answers {
            operation["responses"][*status] = json!({ "description": description });
            if let Some(schema) = schema {
                operation["responses"][*status]["content"] = json_of(schema(&mut book.read).to_value());
            }
        }
        json!({ self.method.as_str().to_lowercase(): operation })
    }
}
