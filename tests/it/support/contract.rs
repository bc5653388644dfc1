//! The document of a node as a judge of what the node answers: whether a status, a media
//! type, a header and a body are what `/openapi.json` says of the operation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::http::Response;
use super::node::Node;

/// Headers that an answer has only where the document says so, and always there.
const TOLD: [&str; 6] = ["allow", "etag", "location", "retry-after", "www-authenticate", "content-security-policy"];

/// See the module.
pub struct Contract {
    pub document: Value,
    /// Compiled once for each text of a schema.
    compiled: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One operation of the document.
#[derive(Clone)]
pub struct Operation {
    pub id: String,
    /// In upper case.
    pub method: String,
    pub path: String,
    pub told: Value,
}

impl Contract {
    pub fn of(node: &Node) -> Self {
        let document = node.nobody().get("/openapi.json").expect(200);
        Self { document, compiled: Mutex::default() }
    }

    /// Every operation, in the document's order.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        let each = paths.flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(|(method, told)| Operation {
                id: told["operationId"].as_str().expect("every operation has an id").to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                told: told.clone(),
            })
        });
        each.collect()
    }

    #[track_caller]
    pub fn operation(&self, id: &str) -> Operation {
        let found = self.operations().into_iter().find(|operation| operation.id == id);
        found.unwrap_or_else(|| panic!("the document has no operation `{id}`"))
    }

    /// What a reference leads to; anything else as it is.
    pub fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("nothing refers to another document");
                let found = self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
                self.resolved(found)
            }
            None => value,
        }
    }

    /// Whether a value fits a schema of the document, and if not, why.
    pub fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let errors: Vec<String> = self
            .validator(schema)
            .iter_errors(value)
            .map(|error| format!("`{}`: {error}", error.instance_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let text = schema.to_string();
        if let Some(known) = self.compiled.lock().unwrap().get(&text) {
            return Arc::clone(known);
        }
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": self.document["components"],
        });
        let validator = Arc::new(jsonschema::validator_for(&whole).unwrap_or_else(|error| panic!("{error}: {text}")));
        self.compiled.lock().unwrap().insert(text, Arc::clone(&validator));
        validator
    }

    /// What is wrong with an answer, by the document.
    pub fn judge(&self, operation: &Operation, answer: &Response) -> Result<(), String> {
        let told = &operation.told["responses"][answer.status.to_string()];
        if told.is_null() {
            return Err(format!("{} does not say that it answers {}", operation.id, answer.status));
        }
        let told = self.resolved(told);
        let headers: Vec<String> = told["headers"]
            .as_object()
            .map(|told| told.keys().map(|name| name.to_lowercase()).collect())
            .unwrap_or_default();
        for name in TOLD {
            if answer.header(name).is_some() != headers.iter().any(|told| told == name) {
                return Err(format!("`{name}` is given or told alone"));
            }
        }
        let content = told["content"].as_object().filter(|content| !content.is_empty());
        let Some(content) = content else {
            return if answer.body.is_empty() {
                Ok(())
            } else {
                Err("there is a body, and none is told of".to_owned())
            };
        };
        let media_type = answer.header("content-type").unwrap_or_default();
        let Some(told) = content.get(media_type) else { return Err(format!("no answer of `{media_type}` is told of")) };
        if !media_type.ends_with("json") {
            return Ok(());
        }
        let body: Value = serde_json::from_str(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
        self.fits(&told["schema"], &body)
    }

    /// Fails the test unless the answer is as the document says.
    #[track_caller]
    pub fn check(&self, operation: &Operation, answer: &Response) {
        if let Err(why) = self.judge(operation, answer) {
            panic!("{} {} answers {}: {why}\n{}", operation.method, operation.path, answer.status, answer.body);
        }
    }

    /// Every status that an operation is said to answer.
    pub fn statuses(&self, operation: &Operation) -> Vec<u16> {
        operation.told["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect()
    }
}
