//! What a filter costs to compile and to ask, counted by looking at it: what cannot
//! be counted, or has no end, is refused.

use serde_json::Value;

use crate::catalog::{FieldError, pointer_below};

/// Most arrays and objects, with what each `$ref` leads to counted anew: a few
/// definitions that refer to each other twice would take longer than anyone waits.
const MAX_UNFOLDED: usize = 1_000;
/// Deepest that references lead.
const MAX_UNFOLDED_DEPTH: usize = 256;
/// Most regular expressions, counted anew for each `$ref` that leads to one.
const MAX_PATTERNS: usize = 16;
/// Words that give a schema another name than its place, or go by one: what
/// they lead to cannot be counted by looking.
const NAMES: [&str; 6] = ["$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$id"];

/// Words whose every nesting doubles the time that a look at an event takes.
pub(super) const DOUBLING: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];

/// Refuses what is too much, and what cannot be counted.
pub(super) fn check(schema: &Value) -> Result<(), FieldError> {
    Cost::new(schema).unfold(schema, "")
}

/// How many regular expressions are written in it.
pub(super) fn patterns(schema: &Value) -> usize {
    let mut cost = Cost::new(schema);
    cost.count_patterns(schema);
    cost.patterns
}

/// What a filter costs, counted while its references are followed.
struct Cost<'a> {
    schema: &'a Value,
    unfolded: usize,
    /// How deep the count is just now, in parts and in what they refer to.
    depth: usize,
    patterns: usize,
}

impl<'a> Cost<'a> {
    fn new(schema: &'a Value) -> Self {
        Self { schema, unfolded: 0, depth: 0, patterns: 0 }
    }

    fn unfold(&mut self, part: &'a Value, pointer: &str) -> Result<(), FieldError> {
        self.depth += 1;
        if self.depth > MAX_UNFOLDED_DEPTH {
            return Err(Self::has_no_end());
        }
        self.unfold_part(part, pointer)?;
        self.depth -= 1;
        Ok(())
    }

    fn unfold_part(&mut self, part: &'a Value, pointer: &str) -> Result<(), FieldError> {
        match part {
            Value::Object(fields) => {
                self.count_one()?;
                for (name, value) in fields {
                    let place = pointer_below(pointer, name);
                    self.count_patterns_at(name, value, &place)?;
                    match value {
                        _ if DOUBLING.contains(&name.as_str()) => {
                            let detail =
                                format!("`{name}` cannot be used in a filter; name the fields that are allowed");
                            return Err(FieldError { pointer: place, detail });
                        }
                        // Another draft reads what lies below in another way.
                        Value::String(_) if name == "$schema" && place != "/$schema" => {
                            let detail = "`$schema` stands at the root of a filter or nowhere".to_owned();
                            return Err(FieldError { pointer: place, detail });
                        }
                        Value::String(reference) if name == "$ref" => self.follow(reference, &place)?,
                        // At the root it names the whole, and moves nothing.
                        Value::String(_) | Value::Bool(_) if self.is_name(name) && place != "/$id" => {
                            let detail = format!("`{name}` cannot be used in a filter; refer to `#/$defs/…` by `$ref`");
                            return Err(FieldError { pointer: place, detail });
                        }
                        _ => self.unfold(value, &place)?,
                    }
                }
            }
            Value::Array(items) => {
                self.count_one()?;
                for (index, item) in items.iter().enumerate() {
                    self.unfold(item, &format!("{pointer}/{index}"))?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }

    fn count_patterns_at(&mut self, name: &str, value: &Value, place: &str) -> Result<(), FieldError> {
        self.patterns += match (name, value) {
            ("pattern", Value::String(_)) => 1,
            ("patternProperties", Value::Object(patterns)) => patterns.len(),
            _ => 0,
        };
        if self.patterns <= MAX_PATTERNS {
            return Ok(());
        }
        let detail = format!(
            "the limit is {MAX_PATTERNS} regular expressions in one filter, counting one each time a `$ref` leads to it"
        );
        Err(FieldError { pointer: place.to_owned(), detail })
    }

    fn follow(&mut self, reference: &str, place: &str) -> Result<(), FieldError> {
        // What is written in percent leads elsewhere than it seems to.
        let reference = if reference.contains('%') { "" } else { reference };
        let target = reference.strip_prefix('#').and_then(|pointer| Some((pointer, self.schema.pointer(pointer)?)));
        match target {
            Some((pointer, part)) => self.unfold(part, pointer),
            None => {
                let detail =
                    "expected a reference into the filter itself, such as `#/$defs/amount`; nothing is ever fetched"
                        .to_owned();
                Err(FieldError { pointer: place.to_owned(), detail })
            }
        }
    }

    fn count_one(&mut self) -> Result<(), FieldError> {
        self.unfolded += 1;
        if self.unfolded <= MAX_UNFOLDED {
            return Ok(());
        }
        Err(Self::has_no_end())
    }

    fn has_no_end() -> FieldError {
        let detail = format!(
            "the limit is {MAX_UNFOLDED} arrays and objects, counting what a `$ref` leads to each time it is referred to; \
             what refers to itself has no end"
        );
        FieldError { pointer: String::new(), detail }
    }

    /// Draft 4 has `id` where the later ones have `$id`.
    fn is_name(&self, word: &str) -> bool {
        let is_draft_4 = || self.schema["$schema"].as_str().is_some_and(|draft| draft.contains("draft-04"));
        NAMES.contains(&word) || (word == "id" && is_draft_4())
    }

    fn count_patterns(&mut self, part: &Value) {
        match part {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("pattern", Value::String(_)) => self.patterns += 1,
                        ("patternProperties", Value::Object(patterns)) => self.patterns += patterns.len(),
                        _ => {}
                    }
                    self.count_patterns(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.count_patterns(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}
