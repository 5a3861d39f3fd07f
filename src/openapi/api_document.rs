//! The document of an API.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::api::errors::ErrorBody;
use crate::http::bearer::operator_role::OperatorRole;
use crate::openapi::api_operation::{AnswerShape, ApiOperation};
use crate::openapi::api_webhook::ApiWebhook;
use crate::openapi::path_parameters::{PathParameter, names_in};
use crate::openapi::schema_book::{SchemaBook, bounded, reference};

/// Name of the scheme of the token.
const SCHEME: &str = "token";

/// Operations below one path.
#[derive(Debug, Clone)]
pub struct OperationGroup {
    /// Path before those of the operations; empty for those at the root.
    pub prefix: &'static str,
    /// The operations.
    pub operations: Vec<ApiOperation>,
}

/// An API to describe.
#[derive(Debug, Clone)]
pub struct ApiDocument {
    /// Its title.
    pub title: &'static str,
    /// Its purpose, in Markdown.
    pub description: &'static str,
    /// Configuration key of its token.
    pub token: &'static str,
    /// Parameters in its paths.
    pub path_parameters: &'static [PathParameter],
    /// Its operations.
    pub groups: Vec<OperationGroup>,
    /// Calls that the gateway makes itself.
    pub webhooks: Vec<ApiWebhook>,
}

impl ApiDocument {
    /// Returns the document.
    pub fn build(&self) -> Value {
        let mut book = SchemaBook::new();
        let mut paths = Map::new();
        for group in &self.groups {
            for operation in &group.operations {
                let path = format!("{}{}", group.prefix, operation.path);
                let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
                let method = operation.method.as_str().to_lowercase();
                assert!(item.get(&method).is_none(), "{method} {path} stands twice in the table");
                item[method] = self.operation(&path, operation, &mut book);
            }
        }
        let webhooks: Map<String, Value> =
            self.webhooks.iter().map(|webhook| (webhook.name.to_owned(), webhook.item(&mut book))).collect();
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "version": env!("CARGO_PKG_VERSION"),
                "description": self.description,
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "servers": [{ "url": "/" }],
            "security": [{ SCHEME: [] }],
            "paths": paths,
        });
        if !webhooks.is_empty() {
            document["webhooks"] = webhooks.into();
        }
        let scheme = format!("The token of `{}`. A listener without a configured token needs none.", self.token);
        document["components"] = json!({
            "schemas": book.finish(),
            "securitySchemes": { SCHEME: { "type": "http", "scheme": "bearer", "description": scheme } },
        });
        document
    }

    fn operation(&self, path: &str, operation: &ApiOperation, book: &mut SchemaBook) -> Value {
        let known = |name: &str| self.path_parameters.iter().find(|parameter| parameter.name == name);
        let in_path = names_in(path).map(|name| known(name).expect("each parameter of a path is described").entry());
        let mut parameters: Vec<Value> = in_path.collect();
        for query in &operation.queries {
            parameters.extend(query_parameters(query(&mut book.read).to_value()));
        }
        parameters.extend(operation.parameters.iter().cloned());
        let mut described = json!({
            "operationId": operation_id(operation, path),
            "summary": operation.summary,
            "responses": responses(operation, book),
        });
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        if let Some(body) = &operation.body {
            let examples = body.examples.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value })));
            let content = json!({
                "schema": (body.schema)(&mut book.read).to_value(),
                "examples": examples.collect::<Map<_, _>>(),
            });
            described["requestBody"] = json!({ "required": true, "content": { "application/json": content } });
        }
        if operation.is_open {
            described["security"] = json!([]);
        }
        if let Some(role) = operation.role {
            described["description"] = format!("The token needs the role `{role}`.").into();
        }
        described
    }
}

/// Returns the id of an operation: its method and the words of its path.
fn operation_id(operation: &ApiOperation, path: &str) -> String {
    let words = path.split(['/', '.']).filter(|word| !word.is_empty() && !["admin", "v1"].contains(word));
    let words = words.map(|word| word.trim_matches(['{', '}']));
    [operation.method.as_str().to_lowercase()].into_iter().chain(words.map(str::to_owned)).collect::<Vec<_>>().join("_")
}

/// Returns an entry for each member of the object that a query is read as.
fn query_parameters(mut schema: Value) -> Vec<Value> {
    bounded(&mut schema);
    let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else { return Vec::new() };
    let entries = properties.into_iter().map(|(name, mut schema)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("default");
        }
        // A key without a value is another thing than a key that is absent, and is not accepted for numbers.
        if let Some(types) = schema["type"].as_array()
            && let Some(kind) = types.iter().find(|kind| **kind != "null").cloned()
        {
            schema["type"] = kind;
        }
        json!({
            "name": name,
            "in": "query",
            "required": required.contains(&json!(name)),
            "description": description,
            "schema": schema,
        })
    });
    entries.collect()
}

fn responses(operation: &ApiOperation, book: &mut SchemaBook) -> Value {
    let mut responses = BTreeMap::new();
    for AnswerShape { status, description, content } in &operation.answers {
        let mut response = json!({ "description": description });
        for (media, schema) in content {
            response["content"][*media]["schema"] = schema(&mut book.written).to_value();
        }
        responses.insert(status.to_string(), response);
    }
    let mut codes: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for (status, of_status) in operation.refusals.iter().flat_map(|set| set.iter()) {
        codes.entry(*status).or_default().extend(*of_status);
    }
    if let Some(role) = operation.role.filter(|role| *role > OperatorRole::Read) {
        codes.entry(403).or_default().insert(role.code());
    }
    for (status, codes) in codes {
        let mut schema = reference::<ErrorBody>(&mut book.written).to_value();
        schema["properties"] = json!({ "code": { "enum": codes } });
        if operation.passes_on {
            schema = json!({ "anyOf": [schema, { "description": "The answer of the other server." }] });
        }
        let named: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        match responses.get_mut(&status.to_string()) {
            // The status is also one of the operation's own answers.
            Some(response) => {
                let own = response["content"]["application/json"]["schema"].take();
                // The operation's own answer may be in another form alone, such as a page for people.
                let schema = if own.is_null() { schema } else { json!({ "anyOf": [own, schema] }) };
                response["content"]["application/json"]["schema"] = schema;
                let words = response["description"].as_str().unwrap_or_default();
                response["description"] = format!("{words} Or refused: {}.", named.join(", ")).into();
            }
            None => {
                let mut response = json!({
                    "description": format!("Refused: {}.", named.join(", ")),
                    "content": { "application/json": { "schema": schema } },
                });
                if let Some((name, words, kind)) = header_of(status) {
                    response["headers"] = json!({ name: { "description": words, "schema": { "type": kind } } });
                }
                responses.insert(status.to_string(), response);
            }
        }
    }
    if operation.passes_on {
        let words = "The answer of the other server, with its own status and the header `Fernpost-Peer`.";
        responses.insert("default".to_owned(), json!({ "description": words, "content": { "application/json": {} } }));
    }
    json!(responses)
}

/// Returns the header that explains a refusal with this status: its name, meaning and type.
const fn header_of(status: u16) -> Option<(&'static str, &'static str, &'static str)> {
    match status {
        401 => Some(("WWW-Authenticate", "`Bearer`.", "string")),
        405 => Some(("Allow", "The methods that the path has.", "string")),
        429 | 503 => Some(("Retry-After", "Seconds after which the same request may succeed.", "integer")),
        _ => None,
    }
}
