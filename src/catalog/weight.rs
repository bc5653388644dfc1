//! How heavy an event type's schema is to compile: counted by looking at it, and by
//! following its references as the compiler does, which builds anew whatever a `$ref`
//! leads to. A few definitions that refer to each other twice would otherwise take
//! longer than anyone waits. Operators write these schemas, and so the bounds are wide;
//! a [filter](super::filter) is anybody's and has narrower ones.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::catalog::{FieldError, pointer_below};

/// Most arrays and objects, with what each reference leads to counted anew.
const MAX_UNFOLDED: usize = 20_000;
/// Deepest that parts and references lead together.
const MAX_DEPTH: usize = 256;
/// Most regular expressions, counted likewise.
const MAX_PATTERNS: usize = 128;
/// Largest regular expression, compiled.
pub(super) const MAX_PATTERN_BYTES: usize = 1024 * 1024;
/// Most `unevaluated…` within each other: each doubles the time that an event takes.
const MAX_DOUBLINGS: usize = 6;
/// Words whose value leads elsewhere.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
/// Words by which a part has a name of its own.
const ANCHORS: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// Refuses what is too heavy.
pub(super) fn check(schema: &Value) -> Result<(), FieldError> {
    let mut names = Names::default();
    names.collect(schema);
    let mut weight = Weight { schema, names, unfolded: 0, patterns: 0, doublings: 0, following: Vec::new() };
    weight.unfold(schema, "", 0)
}

/// Parts that references may name otherwise than by their place.
#[derive(Default)]
struct Names<'a> {
    anchors: HashMap<&'a str, Vec<&'a Value>>,
    /// By the last part of the path of an `$id`: where it lies otherwise depends on
    /// what is around it, and one too many counted does no harm.
    ids: HashMap<&'a str, Vec<&'a Value>>,
}

impl<'a> Names<'a> {
    fn collect(&mut self, part: &'a Value) {
        match part {
            Value::Object(fields) => {
                for (word, value) in fields {
                    match value {
                        Value::String(name) if ANCHORS.contains(&word.as_str()) => {
                            self.anchors.entry(name).or_default().push(part);
                        }
                        Value::String(id) if matches!(word.as_str(), "$id" | "id") => self.identify(id, part),
                        _ => {}
                    }
                    self.collect(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn identify(&mut self, id: &'a str, part: &'a Value) {
        let (resource, fragment) = id.split_once('#').unwrap_or((id, ""));
        if !resource.is_empty() {
            self.ids.entry(last_segment(resource)).or_default().push(part);
        }
        // Before `$anchor` there was, names were given this way.
        if !fragment.is_empty() {
            self.anchors.entry(fragment).or_default().push(part);
        }
    }

    /// Whatever a reference may lead to.
    fn targets(&self, root: &'a Value, reference: &str) -> Vec<&'a Value> {
        let (resource, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let mut bases: Vec<&'a Value> = match resource {
            "" => std::iter::once(root).chain(self.ids.values().flatten().copied()).collect(),
            named => self.ids.get(last_segment(named)).into_iter().flatten().copied().collect(),
        };
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        if fragment.is_empty() {
            return bases;
        }
        if !fragment.starts_with('/') {
            return self.anchors.get(&*fragment).into_iter().flatten().copied().collect();
        }
        bases = bases.into_iter().filter_map(|base| base.pointer(&fragment)).collect();
        bases
    }
}

fn last_segment(uri: &str) -> &str {
    uri.rsplit(['/', ':']).next().unwrap_or(uri)
}

struct Weight<'a> {
    schema: &'a Value,
    names: Names<'a>,
    unfolded: usize,
    patterns: usize,
    /// How many `unevaluated…` are around the part that is looked at.
    doublings: usize,
    /// What is being unfolded: where a reference leads back there, the compiler stops,
    /// and so does the count.
    following: Vec<&'a Value>,
}

impl<'a> Weight<'a> {
    fn unfold(&mut self, part: &'a Value, pointer: &str, depth: usize) -> Result<(), FieldError> {
        let (Value::Object(_) | Value::Array(_)) = part else { return Ok(()) };
        self.unfolded += 1;
        if self.unfolded > MAX_UNFOLDED {
            return Err(refused(
                "",
                format!(
                    "the limit is {MAX_UNFOLDED} arrays and objects, counting what a `$ref` leads to each time it is \
                     referred to"
                ),
            ));
        }
        if depth > MAX_DEPTH {
            return Err(refused(pointer, format!("references and what they lead to go more than {MAX_DEPTH} deep")));
        }
        match part {
            Value::Object(fields) => self.unfold_fields(fields, pointer, depth),
            Value::Array(items) => {
                let unfold = |(index, item)| self.unfold(item, &format!("{pointer}/{index}"), depth + 1);
                items.iter().enumerate().try_for_each(unfold)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn unfold_fields(&mut self, fields: &'a Map<String, Value>, pointer: &str, depth: usize) -> Result<(), FieldError> {
        for (word, value) in fields {
            let place = pointer_below(pointer, word);
            self.patterns += match (word.as_str(), value) {
                ("pattern", Value::String(_)) => 1,
                ("patternProperties", Value::Object(patterns)) => patterns.len(),
                _ => 0,
            };
            if self.patterns > MAX_PATTERNS {
                let detail = format!(
                    "the limit is {MAX_PATTERNS} regular expressions, counting one each time a `$ref` leads to it"
                );
                return Err(refused(&place, detail));
            }
            match value {
                Value::String(reference) if REFERENCES.contains(&word.as_str()) => {
                    self.follow(reference, &place, depth)?;
                }
                _ if matches!(word.as_str(), "unevaluatedProperties" | "unevaluatedItems") => {
                    self.doublings += 1;
                    if self.doublings > MAX_DOUBLINGS {
                        let detail = format!("`{word}` is within more than {MAX_DOUBLINGS} of its kind");
                        return Err(refused(&place, detail));
                    }
                    self.unfold(value, &place, depth + 1)?;
                    self.doublings -= 1;
                }
                _ => self.unfold(value, &place, depth + 1)?,
            }
        }
        Ok(())
    }

    fn follow(&mut self, reference: &str, place: &str, depth: usize) -> Result<(), FieldError> {
        for target in self.names.targets(self.schema, reference) {
            if self.following.iter().any(|known| std::ptr::eq(*known, target)) || std::ptr::eq(self.schema, target) {
                continue;
            }
            self.following.push(target);
            self.unfold(target, place, depth + 1)?;
            self.following.pop();
        }
        Ok(())
    }
}

fn refused(pointer: &str, detail: String) -> FieldError {
    FieldError { pointer: pointer.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn too_heavy(schema: &Value, part: &str) {
        let error = check(schema).expect_err("this schema is too heavy");
        assert!(error.detail.contains(part), "{}: {}", error.pointer, error.detail);
    }

    /// Forty definitions, each of which refers to the next one twice.
    fn doubling(name: impl Fn(usize) -> Value, reference: impl Fn(usize) -> String) -> Value {
        let mut definitions = Map::new();
        for number in 0..40 {
            let next = json!({ "$ref": reference(number + 1) });
            let mut definition = name(number);
            definition["allOf"] = json!([next, next]);
            definitions.insert(number.to_string(), definition);
        }
        definitions.insert("40".to_owned(), name(40));
        json!({ "$defs": definitions, "$ref": reference(0) })
    }

    #[test]
    fn references_cannot_multiply_however_they_are_written() {
        let unnamed = |_| json!({});
        too_heavy(&doubling(unnamed, |number| format!("#/$defs/{number}")), "20000 arrays and objects");
        let in_percent =
            |number: usize| number.to_string().chars().map(|digit| format!("%3{digit}")).collect::<String>();
        too_heavy(&doubling(unnamed, |number| format!("#/%24defs/{}", in_percent(number))), "20000");
        too_heavy(
            &doubling(|number| json!({ "$anchor": format!("a{number}") }), |number| format!("#a{number}")),
            "20000",
        );
        let identified = |number| json!({ "$id": format!("https://example.com/{number}") });
        too_heavy(&doubling(identified, |number| format!("https://example.com/{number}")), "20000");
        too_heavy(&doubling(identified, |number| number.to_string()), "20000");
        too_heavy(
            &doubling(|number| json!({ "$id": format!("urn:{number}") }), |number| format!("urn:{number}")),
            "20000",
        );
    }

    #[test]
    fn chains_patterns_and_doubling_words_are_bounded() {
        let chain: Map<String, Value> = (0..1_000)
            .map(|number| (number.to_string(), json!({ "$ref": format!("#/$defs/{}", number + 1) })))
            .collect();
        too_heavy(&json!({ "$defs": chain }), "deep");
        let patterns: Map<String, Value> =
            (0..200).map(|number| (format!("p{number}"), json!({"pattern": "a"}))).collect();
        too_heavy(&json!({ "properties": patterns }), "128 regular expressions");
        let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({ "unevaluatedProperties": inner }));
        assert_eq!(check(&nested(6)), Ok(()));
        too_heavy(&nested(7), "within more than 6");
    }

    #[test]
    fn what_people_write_is_light() {
        let tree = json!({
            "$defs": { "node": { "properties": {
                "left": { "$ref": "#/$defs/node" }, "right": { "$ref": "#/$defs/node" },
            } } },
            "properties": { "root": { "$ref": "#/$defs/node" }, "self": { "$ref": "#" } },
        });
        assert_eq!(check(&tree), Ok(()));
        let address = json!({ "$ref": "#/$defs/address" });
        let fields: Map<String, Value> = (0..100).map(|number| (format!("a{number}"), address.clone())).collect();
        let shared =
            json!({ "$defs": { "address": { "properties": { "street": {}, "city": {} } } }, "properties": fields });
        assert_eq!(check(&shared), Ok(()));
    }
}
