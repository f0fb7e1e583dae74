//! What a tool should tell of itself, so that a form for it is filled in, a host knows when to ask
//! its user, and no client drops a part of its schema.

use serde_json::{Map, Value, json};

use crate::raw::{BOTH, RawClient};

/// A server's tools, as it lists them in each revision.
pub async fn listed(url: &str) -> Vec<Value> {
    let mut listed = Vec::new();
    for protocol in BOTH {
        let client = RawClient::open(url, protocol).await;
        let list = client.ask("tools/list", json!({})).await;
        let tools = list["result"]["tools"].as_array().expect("a list of tools");
        assert!(!tools.is_empty(), "{url} has no tools");
        listed.extend_from_slice(tools);
    }
    listed
}

/// Everything that a tool lacks.
pub fn faults(tool: &Value) -> Vec<String> {
    let mut faults = Faults { tool: tool["name"].as_str().unwrap_or_default(), found: Vec::new() };
    let title = tool["title"].as_str().unwrap_or_default();
    if title.is_empty() || title == faults.tool {
        faults.add("", "no title for people");
    }
    let hints = &tool["annotations"];
    for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
        if !hints[hint].is_boolean() {
            faults.add("annotations", &format!("no {hint}"));
        }
    }
    if hints["readOnlyHint"] == true
        && (hints["destructiveHint"] == true || hints["idempotentHint"] == false)
    {
        faults.add("annotations", "what only reads destroys nothing, and may be called again");
    }
    let input = &tool["inputSchema"];
    for (name, argument) in input["properties"].as_object().into_iter().flatten() {
        let path = format!("inputSchema.properties.{name}");
        match argument.get("default") {
            Some(default) if allows(argument, default) => {}
            Some(default) => {
                faults.add(&path, &format!("its schema forbids its default {default}"));
            }
            None if argument["examples"].is_array() => {}
            None => faults.add(&path, "no default, and no example of what only a caller can know"),
        }
        if argument["description"].as_str().is_none_or(str::is_empty) {
            faults.add(&path, "no description");
        }
    }
    faults.schema("inputSchema", "inputSchema", input);
    if let Some(output) = tool.get("outputSchema") {
        faults.schema("outputSchema", "outputSchema", output);
    }
    faults.found
}

/// Whether a schema of a simple type allows this value.
fn allows(schema: &Value, value: &Value) -> bool {
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_i64().is_some_and(|number| {
            let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
            least.is_none_or(|least| least <= number) && most.is_none_or(|most| number <= most)
        }),
        _ => false,
    }
}

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const ONE: [&str; 12] = [
    "items",
    "contains",
    "not",
    "propertyNames",
    "if",
    "then",
    "else",
    "additionalProperties",
    "unevaluatedProperties",
    "additionalItems",
    "unevaluatedItems",
    "contentSchema",
];
const LISTED: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "dependentSchemas", "dependencies", "$defs", "definitions"];
/// Under these, `true` and `false` are as good as a schema.
const MAY_BE_BOOLEAN: [&str; 4] =
    ["additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems"];
/// A schema without any of these allows values of every type.
const SAY_WHAT: [&str; 8] = ["type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "not"];
/// The formats that every client knows.
const FORMATS: [&str; 6] = ["date-time", "date", "time", "uri", "email", "uuid"];

struct Faults<'a> {
    tool: &'a str,
    found: Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, path: &str, fault: &str) {
        self.found.push(format!("{} {path}: {fault}", self.tool));
    }

    /// The rules of the MCP Inspector, whose page shows what breaks them as "Schema portability".
    /// It knows them as `boolean-schema`, `type-union`, `remote-ref` and `untyped-schema`. The rule
    /// of the formats is the TypeScript SDK's.
    fn schema(&mut self, path: &str, keyword: &str, schema: &Value) {
        let Some(fields) = schema.as_object() else {
            if !(schema.is_boolean() && MAY_BE_BOOLEAN.contains(&keyword)) {
                self.add(path, "not a schema that is an object");
            }
            return;
        };
        if fields.get("type").is_some_and(Value::is_array) {
            self.add(path, "several types: say `anyOf`");
        }
        if fields.get("$ref").is_some_and(|to| !to.as_str().is_some_and(|to| to.starts_with('#'))) {
            self.add(path, "a reference to another document");
        }
        if !SAY_WHAT.iter().any(|key| fields.contains_key(*key)) && keyword != "not" {
            self.add(path, "any value is allowed: say of which type it is");
        }
        if let Some(format) = fields.get("format")
            && !FORMATS.iter().any(|known| format == known)
        {
            self.add(path, &format!("a format that clients do not know: {format}"));
        }
        for (key, value) in fields {
            let path = format!("{path}.{key}");
            match value {
                Value::Object(schemas) if NAMED.contains(&&**key) => self.named(&path, schemas),
                Value::Array(schemas) if LISTED.contains(&&**key) => {
                    for schema in schemas {
                        self.schema(&path, key, schema);
                    }
                }
                schema if ONE.contains(&&**key) => self.schema(&path, key, schema),
                _ => {}
            }
        }
    }

    fn named(&mut self, path: &str, schemas: &Map<String, Value>) {
        for (name, schema) in schemas {
            self.schema(&format!("{path}.{name}"), "properties", schema);
        }
    }
}
