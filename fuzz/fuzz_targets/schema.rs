//! An event type's schema and example, on a line each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use posthaste::catalog::{Catalog, CatalogLimits, TypeDefinition, read_json};

fuzz_target!(|text: &[u8]| {
    let mut halves = text.splitn(2, |byte| *byte == b'\n');
    let Some(Ok(schema)) = halves.next().map(read_json) else { return };
    let example = halves.next().and_then(|text| read_json(text).ok());
    let example = example.unwrap_or_else(|| serde_json::json!({ "event": "a.b" }));
    let name = "a.b".parse().expect("a name");
    let definition = TypeDefinition { name, description: String::new(), schema, example, retry: None, indexed: Vec::new() };
    let Ok(definition) = definition.checked(&CatalogLimits::default()) else { return };
    let body = definition.example.to_string();
    let catalog = Catalog::compile(vec![definition]).expect("what was checked can be used");
    assert!(catalog.recognise(body.as_bytes()).is_ok(), "its example is such an event");
});
