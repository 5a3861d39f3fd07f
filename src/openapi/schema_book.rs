//! The schemas of a document: each type once, under its name.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Place of the schemas in a document.
const SCHEMAS: &str = "/components/schemas";

/// The schema of a type, made when a document is.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Returns a reference to the schema of a type.
pub fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Returns the schema of a type itself.
pub fn inline<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    T::json_schema(generator)
}

/// Returns the schema of a number that may be larger than any of ours.
pub fn whole_number(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 0 })
}

/// Returns the schema of `true` or `false` in a query.
pub fn truth(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "boolean" })
}

/// The schemas that a document refers to.
pub(super) struct SchemaBook {
    /// Schemas of what the gateway writes: a value that does not exist has no key, so it is never null there.
    pub(super) written: SchemaGenerator,
    /// Schemas of what the gateway reads.
    pub(super) read: SchemaGenerator,
}

impl SchemaBook {
    /// Returns a book without schemas.
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.into();
                settings.meta_schema = None;
            })
        };
        let written = settings().for_serialize().with_transform(without_absent_nulls).into_generator();
        Self { written, read: settings().for_deserialize().into_generator() }
    }

    /// Returns all schemas by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut schemas = self.written.take_definitions(true);
        for (name, schema) in self.read.take_definitions(true) {
            let is_new = schemas.insert(name.clone(), schema).is_none();
            assert!(is_new, "{name} is both written and read; its two schemas need two names");
        }
        for schema in schemas.values_mut() {
            bounded(schema);
        }
        schemas
    }
}

/// Removes `null` from values that need not exist: such a value has no key, and is not null.
fn without_absent_nulls(schema: &mut Schema) {
    transform_subschemas(&mut without_absent_nulls, schema);
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(name)) {
        let Some(property) = property.as_object_mut() else { continue };
        if let Some(types) = property.get_mut("type").and_then(Value::as_array_mut) {
            types.retain(|kind| kind != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                property.insert("type".to_owned(), only);
            }
        }
        if let Some(choices) = property.get_mut("anyOf").and_then(Value::as_array_mut) {
            choices.retain(|choice| *choice != json!({ "type": "null" }));
            if let [Value::Object(only)] = choices.as_slice() {
                let only = only.clone();
                property.remove("anyOf");
                property.extend(only);
            }
        }
    }
}

/// Writes the range of a number where schemars writes the name of its Rust type, which is no format of OpenAPI.
pub(super) fn bounded(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(bounded),
        Value::Object(members) => {
            let largest: Option<u64> = match members.get("format").and_then(Value::as_str) {
                Some("uint64") => Some(u64::MAX),
                Some("uint32") => Some(u32::MAX.into()),
                Some("uint16") => Some(u16::MAX.into()),
                _ => None,
            };
            if let Some(largest) = largest {
                members.remove("format");
                members.entry("maximum").or_insert_with(|| largest.into());
            }
            members.values_mut().for_each(bounded);
        }
        _ => {}
    }
}
