//! A tool as clients of other languages, and their models, read it.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

/// Says of the tool what clients misread if it is left out, in words that all of them know.
pub fn portable(tool: &mut Tool) {
    tool.input_schema = portable_schema(&tool.input_schema);
    tool.output_schema = tool.output_schema.as_deref().map(portable_schema);
    // For a tool that only reads, the specification gives these hints no meaning. But a host that
    // takes an absent hint for its default warns that such a tool destroys.
    if let Some(hints) = &mut tool.annotations
        && hints.read_only_hint == Some(true)
    {
        hints.destructive_hint.get_or_insert(false);
        hints.idempotent_hint.get_or_insert(true);
    }
}

fn portable_schema(schema: &JsonObject) -> Arc<JsonObject> {
    let mut schema = Value::Object(schema.clone());
    translate(&mut schema);
    Arc::new(if let Value::Object(schema) = schema { schema } else { JsonObject::new() })
}

fn translate(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // Formats that JSON Schema does not know, such as `uint32`: clients print a warning for each.
            let of_rust = |format: &Value| {
                let format = format.as_str().unwrap_or_default();
                ["uint", "int", "float", "double"].iter().any(|name| format.starts_with(name))
            };
            if fields.get("format").is_some_and(of_rust) {
                fields.remove("format");
            }
            // An `Option` becomes a list of types. Some model providers take one type at a time,
            // and refuse the tool or drop its types.
            if let Some(Value::Array(types)) = fields.get("type")
                && !fields.contains_key("anyOf")
            {
                let one_each = types.iter().map(|name| json!({ "type": name })).collect();
                fields.remove("type");
                fields.insert("anyOf".to_owned(), one_each);
            }
            fields.values_mut().for_each(translate);
        }
        Value::Array(values) => values.iter_mut().for_each(translate),
        _ => {}
    }
}
