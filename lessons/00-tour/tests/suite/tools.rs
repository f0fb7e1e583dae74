//! The tools of all lessons tell of themselves what people, hosts and models need.

use hosting::between::Between;
use serde_json::{Value, json};
use shared::stop::Stop;
use testing::hosted::{Hosted, setup};
use testing::tools::{faults, listed};

use crate::LESSONS;

/// The tools of all lessons, and of the process behind the server of `propagate`: each with the
/// server that lists it.
pub async fn all() -> Vec<(&'static str, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let database = propagate::database::server(folder.path().join("sales.db")).unwrap();
    let lessons = LESSONS.map(|lesson| (lesson.name, (lesson.server)(setup(1)).unwrap()));
    let mut all = Vec::new();
    for (name, server) in lessons.into_iter().chain([("propagate's database", database)]) {
        let hosted = Hosted::host(server, Stop::default(), Between::default()).await;
        all.extend(listed(&hosted.url).await.into_iter().map(|tool| (name, tool)));
    }
    all
}

#[tokio::test]
async fn every_tool_of_every_lesson_has_all_that_clients_need() {
    let found = all().await;
    let found = found.iter().map(|(server, tool)| (server, faults(tool)));
    let found: Vec<_> = found.filter(|(_, faults)| !faults.is_empty()).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// A tool that has everything.
fn whole() -> Value {
    json!({
        "name": "count",
        "title": "Count",
        "annotations": {
            "readOnlyHint": true, "destructiveHint": false,
            "idempotentHint": true, "openWorldHint": false
        },
        "inputSchema": { "type": "object", "properties": {
            "steps": { "type": "integer", "description": "How many", "default": 3, "maximum": 9 }
        } },
        "outputSchema": { "type": "object", "properties": {
            "list": { "type": "array", "items": { "$ref": "#/$defs/Entry" } }
        }, "$defs": { "Entry": { "anyOf": [{ "type": "string" }, { "type": "null" }] } } }
    })
}

/// Schemas that the Inspector warns of.
pub const UNPORTABLE: [(&str, &str); 6] = [
    (r#"{"type": ["string", "null"], "anyOf": [{"type": "string"}]}"#, "several types"),
    (r#"{"description": "anything", "default": 1}"#, "any value is allowed"),
    (r#"{"type": "array", "items": {}}"#, "any value is allowed"),
    (r#"{"type": "object", "properties": {"any": true}}"#, "not a schema that is an object"),
    (r#"{"anyOf": [{"type": "string"}, false]}"#, "not a schema that is an object"),
    (r#"{"$ref": "https://example.com/schema.json"}"#, "a reference to another document"),
];

#[test]
fn each_rule_is_heard() {
    assert_eq!(faults(&whole()), [""; 0]);
    // Where in the tool, what stands there instead, and what is said of it.
    let argument = "/inputSchema/properties/steps";
    let wrong = [
        ("/title", r#""count""#, "no title"),
        ("/title", "null", "no title"),
        ("/annotations", "{}", "no readOnlyHint"),
        ("/annotations/openWorldHint", "null", "no openWorldHint"),
        ("/annotations/destructiveHint", "true", "destroys nothing"),
        (argument, r#"{"type": "integer", "description": "How many"}"#, "no default"),
        (argument, r#"{"type": "integer", "default": 3}"#, "no description"),
        ("/inputSchema/properties/steps/default", "10", "forbids its default"),
        ("/inputSchema/properties/steps/default", r#""3""#, "forbids its default"),
        ("/outputSchema/$defs/Entry", r#"{"type": "integer", "format": "uint32"}"#, "a format"),
    ];
    let unportable = UNPORTABLE.map(|(schema, said)| ("/outputSchema/$defs/Entry", schema, said));
    for (place, instead, said) in wrong.into_iter().chain(unportable) {
        let mut tool = whole();
        *tool.pointer_mut(place).unwrap() = serde_json::from_str(instead).unwrap();
        let found = faults(&tool);
        assert!(found.iter().any(|fault| fault.contains(said)), "{place} {instead}: {found:?}");
    }
}
